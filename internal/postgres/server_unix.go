//go:build unix && !aix && !solaris

package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

var dieWithParent = func(*syscall.SysProcAttr) {}

func supported() error { return nil }

// account is who the server runs as: us, or someone else when we are root, which PostgreSQL
// refuses to be.
type account struct {
	name     string
	home     string
	uid, gid int
	other    bool
}

func serverAccount(data string) (*account, error) {
	me := os.Geteuid()
	owner, err := ownerOf(data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		owner = me
	case err != nil:
		return nil, err
	}
	if me != 0 {
		if owner != me {
			return nil, fmt.Errorf("%s belongs to user %d; start as that user or choose another directory", data, owner)
		}
		return &account{uid: me, gid: os.Getegid(), home: os.Getenv("HOME")}, nil
	}
	if owner != 0 {
		found, err := user.LookupId(strconv.Itoa(owner))
		if err != nil {
			return nil, fmt.Errorf("%s belongs to user %d, whom this machine does not know: %w", data, owner, err)
		}
		return asUser(found)
	}
	for _, name := range []string{os.Getenv("SUDO_USER"), "postgres", "nobody"} {
		if found, err := user.Lookup(name); err == nil && found.Uid != "0" {
			return asUser(found)
		}
	}
	return nil, errors.New("PostgreSQL refuses to run as root and there is no other user for it; add one with: useradd --system postgres")
}

func asUser(u *user.User) (*account, error) {
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return nil, err
	}
	return &account{name: u.Username, home: u.HomeDir, uid: uid, gid: gid, other: true}, nil
}

func (a *account) attributes() *syscall.SysProcAttr {
	attributes := &syscall.SysProcAttr{Setpgid: true}
	if a.other {
		attributes.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return attributes
}

// env has nothing of ours that the server could log or show.
func (a *account) env() []string {
	env := []string{"LC_ALL=C", "TZ=UTC", "HOME=" + a.home}
	for _, name := range []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR"} {
		if value, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// own gives the account what root made for it.
func (a *account) own(path string) error {
	if owner, err := ownerOf(path); err != nil || !a.other || owner != 0 {
		return err
	}
	return filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(name, a.uid, a.gid)
	})
}

// private makes sure that nobody but the account (and root) can enter dir.
func (a *account) private(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner, err := ownerOf(dir); err != nil || owner != a.uid || !info.IsDir() {
		return fmt.Errorf("%s is not a directory of the server's user; remove it", dir)
	}
	return os.Chmod(dir, 0o700)
}

// reach says which directory the account may not pass on its way to dir.
func (a *account) reach(dir string) error {
	if !a.other {
		return nil
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	for ; ; real = filepath.Dir(real) {
		info, err := os.Stat(real)
		if err != nil {
			return err
		}
		stat := info.Sys().(*syscall.Stat_t)
		pass := fs.FileMode(0o001)
		switch {
		case int(stat.Uid) == a.uid:
			pass = 0o100
		case int(stat.Gid) == a.gid:
			pass = 0o010
		}
		if info.Mode()&pass == 0 {
			return fmt.Errorf("PostgreSQL refuses to run as root, and %s, whom it runs as instead, may not enter %s; choose a directory elsewhere, such as /var/lib/corridor, or run: chmod o+x %s", a.name, real, real)
		}
		if real == filepath.Dir(real) {
			return nil
		}
	}
}

func makeDir(dir string) error {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711 // the server's user has to pass
	}
	return os.MkdirAll(dir, mode)
}

func ownerOf(path string) (int, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return int(info.Sys().(*syscall.Stat_t).Uid), nil
}

// tryLock locks the file for as long as it is open, however the process ends.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, nil
	}
	return err == nil, err
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
