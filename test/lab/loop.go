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
	if os.Getuid() != 0 {
		Lack(tb, "This test mounts a file system: run it as root (sudo -E env PATH=\"$PATH\" go test)")
	}
	mkfs := Tool(tb, "mkfs.ext4", "e2fsprogs")
	dir := tb.TempDir()
	image, mount := filepath.Join(dir, "image"), filepath.Join(dir, "mount")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, mib<<20), os.Mkdir(mount, 0o755))
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

// LoopDeviceFor returns a block device of so many MiB, with nothing on it. It goes with tb.
func LoopDeviceFor(tb testing.TB, mib int64) (device string) {
	tb.Helper()
	if os.Getuid() != 0 {
		Lack(tb, "This test makes a block device: run it as root (sudo -E env PATH=\"$PATH\" go test)")
	}
	losetup := Tool(tb, "losetup", "mount")
	image := filepath.Join(tb.TempDir(), "image")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, mib<<20)); err != nil {
		tb.Fatal(err)
	}
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
