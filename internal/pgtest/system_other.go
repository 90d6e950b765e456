//go:build !unix || aix || solaris

package pgtest

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

func homeDir() (string, error) {
	return "", errors.New("tests with a database need Linux or macOS")
}

// The rest is never reached.

func dirMode() fs.FileMode                { return 0o700 }
func lock(string, bool) (*os.File, error) { return nil, errors.ErrUnsupported }
func apart() *syscall.SysProcAttr         { return nil }
