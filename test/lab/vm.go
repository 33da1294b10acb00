package lab

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// VM is one run of a virtual machine: what it gets and what it does. Its kernel
// is Debian's, with a unified cgroup hierarchy and pressure files. Its processor
// is emulated: timings mean nothing, only ratios and behaviour do.
type VM struct {
	// Files are put below the script's working folder, /payload.
	Files []File
	// Script is run by /bin/sh, as root. What it prints is the run's output.
	Script string
	// Disk is the path of a raw image on this machine. The script finds it as
	// the NVMe disk $DISK, which takes direct IO. What is written there stays.
	Disk string
	// Reach is the address of a listener on this machine, and all of the world that the
	// machine with systemd gets to: there it is $REACH. Where empty, there is no network.
	Reach string
	// Memory is in MiB. Where zero, it is 512, or 2048 with systemd.
	Memory int
	// Console gets everything that the machine prints, as it comes; nil is
	// allowed.
	Console io.Writer
}

// VMResult is what a script did in a virtual machine.
type VMResult struct {
	Output string // standard output and error, without carriage returns
	Status int    // of the script's exit
}

// vmTime bounds a run. A machine with systemd takes a minute of two idle cores,
// but five when they are busy with other tests, before its script begins.
const vmTime = 20 * time.Minute

// RunInitramfs boots a kernel whose user space is busybox and vm.Files, runs
// the script as the only process, and powers off. All cgroup controllers are
// enabled for the children of the root. Boot and end take some five seconds.
//
// An error means that there is no result; the end of ctx is one. A script that
// fails is not an error.
func RunInitramfs(ctx context.Context, vm VM) (VMResult, error) {
	return vm.run(ctx, "")
}

// RunSystemd boots a suite's systemd with its Docker engine and runs the script
// once the engine is ready, on the cgroups that most users have: a container is
// /system.slice/docker-<id>.scope. There is no image but what vm.Files bring;
// /usr/bin/busybox is static. What the script leaves on the system's disk is
// gone with the machine. Boot and end take about a minute under emulation.
//
// An error means that there is no result; the end of ctx is one. A script that
// fails is not an error.
func RunSystemd(ctx context.Context, s Suite, vm VM) (VMResult, error) {
	root, err := s.disk().get(ctx)
	if err != nil {
		return VMResult{}, err
	}
	return vm.run(ctx, root)
}

//go:embed vm-init.sh
var vmInit string // immutable: the first program of both kinds of machine

//go:embed vm-run.sh
var vmRun string // immutable: what runs the script there

// run boots the machine. With the image of a root file system, the initramfs
// hands over to it.
func (vm VM) run(ctx context.Context, root string) (VMResult, error) {
	kernel, err := kernel().get(ctx)
	if err != nil {
		return VMResult{}, err
	}
	temp, err := os.MkdirTemp("", "swarmgauge-vm-")
	if err != nil {
		return VMResult{}, err
	}
	defer os.RemoveAll(temp)
	initrd := filepath.Join(temp, "initrd")
	if err := vm.writeInitrd(ctx, initrd); err != nil {
		return VMResult{}, err
	}
	network, err := vm.network(ctx)
	if err != nil {
		return VMResult{}, err
	}
	memory := vm.Memory
	if memory == 0 && root == "" {
		memory = 512
	} else if memory == 0 {
		memory = 2048
	}
	args := []string{
		// Not KVM: nested in another virtual machine, it may be there and hang.
		"-accel", "tcg,thread=multi",
		"-machine", "q35", "-cpu", "max", "-smp", "2", "-m", strconv.Itoa(memory),
		"-display", "none", "-monitor", "none", "-serial", "stdio", "-nic", network, "-no-reboot",
		"-kernel", filepath.Join(kernel, "vmlinuz"), "-initrd", initrd,
		// Debian's docker-default profile needs AppArmor's tools, which the image
		// lacks. Kernel messages would get between the lines of the script.
		"-append", "console=ttyS0 panic=-1 loglevel=1 psi=1 apparmor=0 systemd.show_status=0",
	}
	if root != "" {
		args = append(args, nvme("root", root, "snapshot=on,cache=unsafe")...)
	}
	if vm.Disk != "" {
		args = append(args, nvme("disk", vm.Disk, "cache=writeback")...)
	}
	return vm.boot(ctx, args)
}

// The addresses of a machine and of the listener that it reaches, in the emulator's network.
const (
	reachFrom = "10.0.2.15/24"
	reachTo   = "10.0.2.100:9200"
)

// network returns the argument for the machine's network interface.
func (vm VM) network(ctx context.Context) (string, error) {
	if vm.Reach == "" {
		return "none", nil
	}
	host, port, err := net.SplitHostPort(vm.Reach)
	if err != nil {
		return "", err
	}
	box, err := busybox().get(ctx)
	if err != nil {
		return "", err
	}
	// One nc for each connection: the emulator's own way has one connection in all.
	return fmt.Sprintf("user,model=virtio-net-pci,restrict=on,guestfwd=tcp:%s-cmd:%s nc %s %s",
		reachTo, filepath.Join(box, "bin/busybox"), host, port), nil
}

// reach is what the script begins with on a machine that reaches something.
const reach = `export REACH=` + reachTo + `
modprobe virtio_net
nic=$(ls /sys/bus/virtio/drivers/virtio_net/virtio*/net)
ip address add ` + reachFrom + ` dev $nic
ip link set $nic up
`

// nvme returns the arguments for a disk whose serial number is name.
func nvme(name, image, options string) []string {
	return []string{
		// In option lists, a comma is written twice.
		"-drive", "if=none,id=" + name + ",format=raw," + options + ",file=" + strings.ReplaceAll(image, ",", ",,"),
		"-device", "nvme,serial=" + name + ",drive=" + name,
	}
}

// writeInitrd writes the initramfs: busybox, the first program, the payload.
func (vm VM) writeInitrd(ctx context.Context, path string) (err error) {
	box, err := busybox().get(ctx)
	if err != nil {
		return err
	}
	script := vm.Script
	if vm.Reach != "" {
		script = reach + script
	}
	files := []File{
		{Name: "/", Source: box},
		{Name: "/init", Data: vmInit},
		{Name: "/payload/lab-run", Data: vmRun},
		{Name: "/payload/lab-script", Data: script},
	}
	for _, f := range vm.Files {
		f.Name = "/payload/" + f.Name
		files = append(files, f)
	}
	w, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	return writeCpio(w, files)
}

// boot runs the emulator to its end and takes the result from the console.
func (vm VM) boot(ctx context.Context, args []string) (VMResult, error) {
	ctx, cancel := context.WithTimeout(ctx, vmTime)
	defer cancel()
	var console, complaints bytes.Buffer
	cmd := command(ctx, "qemu-system-x86_64", args...)
	cmd.Stdout, cmd.Stderr = &console, &complaints
	if vm.Console != nil {
		cmd.Stdout = io.MultiWriter(&console, vm.Console)
	}
	// The emulator ends with this process; the kernel looks at the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	text := strings.ReplaceAll(console.String(), "\r", "")
	result, ok := parseConsole(text)
	if err != nil || !ok {
		return VMResult{}, fmt.Errorf("virtual machine without a result (%v); its console's last words:\n%s\n%s",
			err, tail(text), tail(complaints.String()))
	}
	return result, nil
}

// parseConsole finds the script's output and status between the marks that
// vm-run.sh prints:
//
//	lab-begin
//	output
//	lab-end 0
func parseConsole(text string) (result VMResult, ok bool) {
	_, text, begun := strings.Cut(text, "\nlab-begin\n")
	end := strings.LastIndex(text, "\nlab-end ")
	if !begun || end < 0 {
		return VMResult{}, false
	}
	status, _, _ := strings.Cut(text[end+len("\nlab-end "):], "\n")
	n, err := strconv.Atoi(status)
	return VMResult{Output: text[:end], Status: n}, err == nil
}
