package lab

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// LoopDiskFor makes an ext4 file system of that many MiB in a file, with further options of
// mkfs, mounts it, and returns where. It is unmounted with the test's own end, when nothing may use it any more. It needs
// root.
func LoopDiskFor(tb testing.TB, mib int64, options ...string) (mount string) {
	tb.Helper()
	image := imageFor(tb, mib)
	mkfs := Tool(tb, "mkfs.ext4", "e2fsprogs")
	mount = filepath.Join(filepath.Dir(image), "mount")
	err := os.Mkdir(mount, 0o755)
	if err == nil {
		err = run(tb.Context(), mkfs, append(append([]string{"-q", "-F"}, options...), image)...)
	}
	if err == nil {
		err = run(tb.Context(), "mount", "-o", "loop", image, mount)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		// Which gives the loop device back, too.
		if err := run(context.Background(), "umount", mount); err != nil {
			tb.Error(err)
		}
	})
	return mount
}

// imageFor makes a file of so many MiB, to be a block device of.
func imageFor(tb testing.TB, mib int64) (path string) {
	tb.Helper()
	if os.Getuid() != 0 {
		Lack(tb, "This test makes a block device: run it as root (sudo -E env PATH=\"$PATH\" go test)")
	}
	path = filepath.Join(tb.TempDir(), "image")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, mib<<20)); err != nil {
		tb.Fatal(err)
	}
	return path
}

// LoopDeviceFor returns a block device of so many MiB, with nothing on it. It goes with tb.
func LoopDeviceFor(tb testing.TB, mib int64) (device string) {
	tb.Helper()
	image := imageFor(tb, mib)
	losetup := Tool(tb, "losetup", "mount")
	out, err := exec.CommandContext(tb.Context(), losetup, "--find", "--show", image).Output()
	if err != nil {
		tb.Fatalf("losetup: %v", err)
	}
	device = strings.TrimSpace(string(out))
	tb.Cleanup(func() {
		if err := run(context.Background(), losetup, "--detach", device); err != nil {
			tb.Error(err)
		}
	})
	return device
}

// Fill writes a file until its file system takes no more.
func Fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// The last blocks byte by byte, as it were.
	for size := 64 << 10; size >= 512; size /= 2 {
		block := make([]byte, size)
		for err = nil; err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
	}
	return nil
}
