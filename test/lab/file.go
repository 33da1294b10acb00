package lab

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// File is a file to be put into an image or a virtual machine.
type File struct {
	Name string // where it goes: a path, taken as relative to the target's root
	// Source is the path of the file or folder on this machine; a folder brings
	// all below it. Symbolic links are kept as they are.
	Source string
	// Data is the content where Source is empty; such files are executable.
	Data string
}

// entry is one thing in an archive: a folder, a regular file or a link.
type entry struct {
	name string // relative, without leading or trailing slash
	mode fs.FileMode
	link string // target of a symbolic link
	size int64
	open func() (io.ReadCloser, error) // of regular files
}

// walk calls add for every entry that the files stand for, each after the
// folders it lies in.
func walk(files []File, add func(entry) error) error {
	made := map[string]bool{".": true}
	var folders func(name string) error
	folders = func(name string) error {
		if made[name] {
			return nil
		}
		if err := folders(path.Dir(name)); err != nil {
			return err
		}
		made[name] = true
		return add(entry{name: name, mode: fs.ModeDir | 0o755})
	}
	for _, f := range files {
		name := strings.TrimPrefix(path.Clean("/"+f.Name), "/")
		if f.Source == "" {
			if err := folders(path.Dir(name)); err != nil {
				return err
			}
			open := func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(f.Data)), nil }
			if err := add(entry{name: name, mode: 0o755, size: int64(len(f.Data)), open: open}); err != nil {
				return err
			}
			continue
		}
		err := filepath.WalkDir(f.Source, func(source string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(f.Source, source)
			if err != nil {
				return err
			}
			target := path.Join(name, filepath.ToSlash(rel))
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.IsDir() {
				return folders(target)
			}
			if err := folders(path.Dir(target)); err != nil {
				return err
			}
			e := entry{name: target, mode: info.Mode(), size: info.Size()}
			switch info.Mode().Type() {
			case 0:
				e.open = func() (io.ReadCloser, error) { return os.Open(source) }
			case fs.ModeSymlink:
				if e.link, err = os.Readlink(source); err != nil {
					return err
				}
				e.size = int64(len(e.link))
			default:
				return fmt.Errorf("%s: neither file, folder nor symbolic link", source)
			}
			return add(e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// copyContent writes exactly the size bytes of a regular file.
func (e entry) copyContent(w io.Writer) error {
	r, err := e.open()
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := io.CopyN(w, r, e.size); err != nil {
		return fmt.Errorf("%s: %w", e.name, err)
	}
	return nil
}

// writeTar writes the files as a tar archive, owned by root.
func writeTar(w io.Writer, files []File) error {
	tw := tar.NewWriter(w)
	err := walk(files, func(e entry) error {
		h := &tar.Header{Name: e.name, Mode: int64(e.mode.Perm()), Size: e.size, Typeflag: tar.TypeReg}
		switch e.mode.Type() {
		case fs.ModeDir:
			h.Typeflag, h.Name, h.Size = tar.TypeDir, e.name+"/", 0
		case fs.ModeSymlink:
			h.Typeflag, h.Linkname, h.Size = tar.TypeSymlink, e.link, 0
		}
		if err := tw.WriteHeader(h); err != nil || e.open == nil {
			return err
		}
		return e.copyContent(tw)
	})
	return errors.Join(err, tw.Close())
}

// writeCpio writes the files as a cpio archive of the kind "newc", owned by
// root, which is what the kernel takes as an initramfs.
//
// Source: Documentation/driver-api/early-userspace/buffer-format.rst of the
// kernel: a header of ASCII hexadecimal fields, then name and content, each
// padded with zeros to a multiple of four.
func writeCpio(w io.Writer, files []File) error {
	const (
		folder  = 0o040000
		regular = 0o100000
		symlink = 0o120000
	)
	inode := 0
	header := func(name string, mode, links int, size int64) error {
		inode++
		_, err := fmt.Fprintf(w, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%s\x00",
			inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
		if err != nil {
			return err
		}
		return pad(w, 110+int64(len(name))+1) // 110 is the header's own length
	}
	err := walk(files, func(e entry) error {
		perm := int(e.mode.Perm())
		switch e.mode.Type() {
		case fs.ModeDir:
			return header(e.name, folder|perm, 2, 0)
		case fs.ModeSymlink:
			if err := header(e.name, symlink|perm, 1, e.size); err != nil {
				return err
			}
			if _, err := io.WriteString(w, e.link); err != nil {
				return err
			}
		default:
			if err := header(e.name, regular|perm, 1, e.size); err != nil {
				return err
			}
			if err := e.copyContent(w); err != nil {
				return err
			}
		}
		return pad(w, e.size)
	})
	if err != nil {
		return err
	}
	return header("TRAILER!!!", 0, 1, 0)
}

// pad writes the zeros that bring a length to a multiple of four.
func pad(w io.Writer, length int64) error {
	_, err := w.Write(make([]byte, -length&3))
	return err
}
