//go:build unix && !aix && !solaris

package pgtest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// homeDir is this user's directory for test clusters, in memory if that has room for a few.
func homeDir() (string, error) {
	base := "/dev/shm"
	var room syscall.Statfs_t
	if err := syscall.Statfs(base, &room); err != nil || uint64(room.Bavail)*uint64(room.Bsize) < 4<<30 { // a database takes 8 MB
		base = os.TempDir()
	}
	home := filepath.Join(base, "corridor-test-"+strconv.Itoa(os.Geteuid()))
	if err := os.MkdirAll(home, dirMode()); err != nil {
		return "", err
	}
	info, err := os.Lstat(home)
	if err != nil {
		return "", err
	}
	if !info.IsDir() || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		return "", fmt.Errorf("%s belongs to someone else; remove it", home)
	}
	return home, os.Chmod(home, dirMode())
}

// dirMode lets the server's user pass when we are root.
func dirMode() fs.FileMode {
	if os.Geteuid() == 0 {
		return 0o711
	}
	return 0o700
}

// lock locks the file until it is closed or the process ends.
func lock(name string, wait bool) (*os.File, error) {
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	how := syscall.LOCK_EX
	if !wait {
		how |= syscall.LOCK_NB
	}
	for {
		err := syscall.Flock(int(file.Fd()), how)
		if err == nil {
			return file, nil
		}
		if err != syscall.EINTR {
			file.Close()
			return nil, err
		}
	}
}

// apart keeps Ctrl-C in the terminal from a process.
func apart() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
