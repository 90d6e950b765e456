package postgres

import "syscall"

func init() {
	// Elsewhere the server of a killed process lives on until the next start ends it.
	dieWithParent = func(attributes *syscall.SysProcAttr) { attributes.Pdeathsig = syscall.SIGINT }
}
