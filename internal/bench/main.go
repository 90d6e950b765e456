// Package main is the benchmark of Corridor: six works that its people do all day, each by the program over HTTP and WebSocket and
// by its limit, the least SQL that does the same. It makes a clinic of data in a PostgreSQL of its own, has the program and the limit work in
// turns, and prints a table beside the targets. docs/performance.md tells what the figures mean.
package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jmoiron/sqlx"

	"corridor/internal/auth"
	"corridor/internal/postgres"
)

// options are the flags.
type options struct {
	quick        bool
	only         []string
	rounds       int
	lasts        time.Duration
	data, out    string
	server       string
	withoutPlots bool
	size         size
	// progress is where it is said what is being done.
	progress io.Writer
}

// workNames are the works, in the order in which they are done.
var workNames = []string{"send", "deliver", "fan-out", "list", "history", "search", "search-2"}

// searchLetters are how long the pieces are that searches look for.
var searchLetters = []int{3, 4, 5, 6}

func readOptions(arguments []string) (o options, err error) {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "It measures a built Corridor beside the least SQL that does the same (docs/performance.md). All of it takes 20 minutes and 6 GB of disk, -quick five and 1 GB.")
		flags.PrintDefaults()
	}
	flags.BoolVar(&o.quick, "quick", false, "a tenth of the data, few short rounds")
	only := flags.String("only", "", "only these works, without the plots: "+strings.Join(workNames, ","))
	flags.IntVar(&o.rounds, "rounds", 0, "how many rounds (7, or 3 with -quick)")
	flags.DurationVar(&o.lasts, "for", 0, "how long each side has in a round (5s, or 2s with -quick)")
	flags.StringVar(&o.data, "data", "bin/bench-data", "where the database is kept, whose data the next run takes up")
	flags.StringVar(&o.out, "out", "bin/bench", "where the figures and plots go")
	flags.StringVar(&o.server, "server", "bin/corridor", "the program to measure")
	if err := flags.Parse(arguments); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("%q is no flag: they begin with a dash, see -help", flags.Arg(0))
	}
	o.size, o.progress = fullSize, os.Stderr
	rounds, lasts := 7, 5*time.Second
	if o.quick {
		o.size, rounds, lasts = quickSize, 3, 2*time.Second
	}
	given := map[string]bool{}
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	if !given["rounds"] {
		o.rounds = rounds
	}
	if !given["for"] {
		o.lasts = lasts
	}
	if given["only"] {
		o.only, o.withoutPlots = strings.Split(*only, ","), true
		for _, name := range o.only {
			if !slices.Contains(workNames, name) {
				return o, fmt.Errorf("-only names %q: the works are %s", name, strings.Join(workNames, ", "))
			}
		}
	}
	if o.rounds < 1 || o.lasts < 10*time.Millisecond {
		return o, errors.New("-rounds must be 1 or more, and -for 10ms or more")
	}
	if o.server, err = filepath.Abs(o.server); err != nil {
		return o, err
	}
	if _, err := os.Stat(o.server); err != nil {
		return o, fmt.Errorf("there is no %s to measure: make bench builds it, or name one by -server", o.server)
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if isBare() {
		if err := serveBare(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := readOptions(os.Args[1:])
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err == nil {
		err = benchmark(ctx, o)
	}
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "stopped")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is a run.
type bench struct {
	options
	began     time.Time
	processes *processes
}

// report says what is being done, and since when.
func (b *bench) report(format string, arguments ...any) {
	fmt.Fprintf(b.progress, "%6.1fs  %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, arguments...))
}

// benchmark measures, prints and saves.
func benchmark(ctx context.Context, o options) error {
	shown := false
	found, err := measureAll(ctx, o, func(works *result) error {
		shown = true
		return errors.Join(works.print(os.Stdout), works.save(o.out))
	})
	if err != nil && shown {
		return fmt.Errorf("the works are done and saved in %s, but not the plots: %w", o.out, err)
	}
	if err != nil {
		return err
	}
	if err := found.save(o.out); err != nil {
		return fmt.Errorf("save what was found: %w", err)
	}
	fmt.Printf("\nsaved in %s\n", o.out)
	return nil
}

// measureAll starts a database and a server with the data, and has all works done. What was found of them it tells before it goes on to the plots.
func measureAll(ctx context.Context, o options, tell func(*result) error) (*result, error) {
	b := &bench{options: o, began: time.Now()}
	for _, dir := range []string{o.data, o.out} {
		if err := os.MkdirAll(dir, 0o711); err != nil {
			return nil, err
		}
	}
	database, err := postgres.Start(ctx, postgres.ServerOptions{Dir: o.data, Report: func(line string) { b.report("%s", line) }})
	if wrong := (postgres.DirectoryError{}); errors.As(err, &wrong) {
		return nil, fmt.Errorf("%w: name another directory by -data", err)
	}
	if err != nil {
		return nil, err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		_ = database.Stop(ending)
	}()
	b.processes = &processes{idle: map[int]float64{}}
	if b.processes.postgres, err = postmaster(o.data); err != nil {
		return nil, err
	}
	admin, err := postgres.Open(ctx, database.URL())
	if err != nil {
		return nil, err
	}
	defer admin.Close()
	alone, err := claim(ctx, admin)
	if err != nil {
		return nil, err
	}
	defer alone.Close()
	secret := make([]byte, 48)
	_, _ = rand.Read(secret) // it never fails
	tokenKey := base64.StdEncoding.EncodeToString(secret)
	key, err := auth.NewKey([]byte(tokenKey))
	if err != nil {
		return nil, err
	}
	seeds := &seeder{binary: o.server, server: database, admin: admin, report: b.report, env: append(plainEnvironment(), "CORRIDOR_TOKEN_KEY="+tokenKey)}

	// Each run works on a copy, so that all begin with the same.
	openCopy := func(size size, name string) (*clinic, func(), error) {
		seed, err := seeds.database(ctx, size)
		if err != nil {
			return nil, nil, err
		}
		if err := seeds.create(ctx, name, seed); err != nil {
			return nil, nil, fmt.Errorf("copy the data: %w", err)
		}
		db, err := postgres.Open(ctx, databaseURL(database, name))
		if err != nil {
			return nil, nil, err
		}
		server, err := startServer(ctx, o.server, databaseURL(database, name), name, tokenKey, o.out)
		if err != nil {
			db.Close()
			return nil, nil, err
		}
		closeAll := func() {
			server.stop()
			db.Close()
			_ = seeds.drop(context.WithoutCancel(ctx), name) // or the next run does
		}
		c, err := open(ctx, server, db, key, size)
		if err == nil {
			err = c.check(ctx, size)
		}
		if err != nil {
			closeAll()
			return nil, nil, err
		}
		return c, closeAll, nil
	}
	c, closeClinic, err := openCopy(o.size, mainServer)
	if err != nil {
		return nil, err
	}
	defer closeClinic()
	bare, err := startBare(ctx, databaseURL(database, mainServer))
	if err != nil {
		return nil, err
	}
	defer bare.stop()

	found := &result{Began: b.began, Program: versionOf(o.server), Data: o.size.String(), Rounds: o.rounds, Lasts: o.lasts.String()}
	watched := watch()
	b.report("how busy it is while nobody asks")
	if err := b.processes.rests(ctx, min(3*time.Second, o.lasts), c.server.pid, bare.pid); err != nil {
		return nil, err
	}
	for _, name := range workNames {
		if len(o.only) > 0 && !slices.Contains(o.only, name) {
			continue
		}
		done, err := b.contest(ctx, c, bare, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		found.Works = append(found.Works, done)
	}
	judge(found.Works)
	found.Machine, found.Took = watched(), time.Since(b.began).Round(time.Second).String()
	if err := tell(found); err != nil {
		return nil, err
	}
	if !o.withoutPlots {
		b.report("latency against what is offered")
		if found.Curve, err = b.curve(ctx, c, found.Works[0].side(program).Rate); err != nil {
			return nil, err
		}
		small, smaller := c, o.size.tenth()
		if smaller != o.size { // less than the least there is not
			var closeSmall func()
			if small, closeSmall, err = openCopy(smaller, "small"); err != nil {
				return nil, err
			}
			defer closeSmall()
			if err := b.processes.rests(ctx, min(3*time.Second, o.lasts), c.server.pid, bare.pid, small.server.pid); err != nil {
				return nil, err
			}
		}
		b.report("cost against size")
		if found.Growths, err = b.growths(ctx, c, small, o.size, smaller); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// claim makes sure that no other run uses the database as long as the connection is open.
func claim(ctx context.Context, admin *sqlx.DB) (*sqlx.Conn, error) {
	conn, err := admin.Connx(ctx)
	if err != nil {
		return nil, err
	}
	var free bool
	if err := conn.GetContext(ctx, &free, `SELECT pg_try_advisory_lock($1)`, 0x62656e6368); err != nil { // the word "bench" in ASCII
		return nil, errors.Join(err, conn.Close())
	}
	if !free {
		return nil, errors.Join(errors.New("another run uses this database: wait until it is done, or name another directory by -data"), conn.Close())
	}
	return conn, nil
}

// contest has the sides of a work do it in turns, round after round.
func (b *bench) contest(ctx context.Context, c *clinic, bare *child, name string) (tested, error) {
	b.report("%s", name)
	w, err := c.work(ctx, bare, name)
	if err != nil {
		return tested{}, err
	}
	if w.close != nil {
		defer w.close()
	}
	for _, side := range w.sides { // what is asked for the first time takes longer, which is not what is measured
		if _, err := side.round(ctx, min(time.Second, b.lasts)); err != nil {
			return tested{}, err
		}
	}
	done := tested{Name: w.name, Title: w.title, Operation: w.operation, Sides: make([]sideFound, len(w.sides))}
	watched := watch()
	for round := range b.rounds {
		for n, side := range w.sides {
			found, err := b.processes.measure(ctx, side.server, func(ctx context.Context) (outcome, error) { return side.round(ctx, b.lasts) })
			if err != nil {
				return tested{}, err
			}
			done.Sides[n].Name = side.name
			done.Sides[n].Rounds = append(done.Sides[n].Rounds, found)
			b.report("  round %d of %d: %-20s %8.0f/s  p50 %7.2f ms  p99 %7.2f ms", round+1, b.rounds, side.name, found.Rate, found.P50, found.P99)
		}
	}
	for n := range done.Sides {
		done.Sides[n].Medians = medians(done.Sides[n].Rounds)
	}
	done.Machine = watched()
	return done, nil
}

// work prepares one of the works.
func (c *clinic) work(ctx context.Context, bare *child, name string) (work, error) {
	switch name {
	case "send":
		return c.send(ctx)
	case "deliver":
		return c.deliver(ctx, bare)
	case "fan-out":
		return c.fanOut(ctx, bare, c.everybody, len(c.everybody.members))
	case "list":
		return c.list(ctx)
	case "history":
		return c.history(ctx)
	case "search":
		return c.search(name, "contact search, first 20 by a piece of name or e-mail, 2,000 contacts", searchLetters...), nil
	default:
		return c.search(name, "contact search by two letters", 2), nil
	}
}
