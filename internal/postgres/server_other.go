//go:build !unix || aix || solaris

package postgres

import (
	"errors"
	"os"
	"syscall"
)

func supported() error {
	return errors.New("the built-in server needs Linux or macOS; set DATABASE_URL to a PostgreSQL of yours")
}

// The rest is never reached.

type account struct{ other bool }

func serverAccount(string) (*account, error)      { return nil, supported() }
func (*account) attributes() *syscall.SysProcAttr { return nil }
func (*account) env() []string                    { return nil }
func (*account) own(string) error                 { return supported() }
func (*account) private(string) error             { return supported() }
func (*account) reach(string) error               { return supported() }
func dieWithParent(*syscall.SysProcAttr)          {}
func makeDir(string) error                        { return supported() }
func tryLock(*os.File) (bool, error)              { return false, supported() }
func executable(string) bool                      { return false }
