// Command look runs the kept server of a failed test until one has seen enough:
//
//	go run corridor/internal/pgtest/look DIRECTORY [DATABASE]
//
// It opens psql where that is installed. The test itself prints the line to type.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"

	"corridor/internal/postgres"
)

func main() {
	if err := look(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func look() error {
	if len(os.Args) < 2 {
		return errors.New("usage: look DIRECTORY [DATABASE]")
	}
	dir := os.Args[1]
	if _, err := os.Stat(filepath.Join(dir, "pgdata")); err != nil {
		return fmt.Errorf("nothing is kept in %s; a test that fails prints where its database is", dir)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	server, err := postgres.Start(ctx, postgres.ServerOptions{Dir: dir})
	if err != nil {
		return err
	}
	defer server.Stop(context.Background())
	database, err := url.Parse(server.URL())
	if err != nil {
		return err
	}
	if len(os.Args) > 2 {
		database.Path = "/" + os.Args[2]
	}
	fmt.Println(database)
	psql := exec.Command("psql", database.String())
	psql.Stdin, psql.Stdout, psql.Stderr = os.Stdin, os.Stdout, os.Stderr
	if psql.Err == nil {
		_ = psql.Run() // what was wrong in there, it said itself
		return nil
	}
	fmt.Println("Ctrl-C ends the server")
	select {
	case <-ctx.Done():
	case <-server.Done():
	}
	return nil
}
