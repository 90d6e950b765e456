package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
	"golang.org/x/text/unicode/norm"

	"corridor/internal/chat"
	"corridor/internal/demo"
)

type rosterCommands struct {
	Import rosterImport `cmd:"" help:"Make the people and waiting rooms of a clinic what a file says. Whoever is not in it is deactivated. All or nothing."`
}

type rosterImport struct {
	File   string `arg:"" help:"CSV with the header email,name,role,waiting_rooms, the rooms separated by semicolons; - is standard input."`
	Clinic string `placeholder:"NAME" help:"The clinic. Without it the only clinic there is."`
	DryRun bool   `help:"Change nothing, only say what would change."`

	NewClinic          bool `help:"Make a clinic of that name beside those that there are. The first one needs no leave."`
	AllowDeactivations bool `help:"Deactivate even most of the clinic's people, or take them out of all waiting rooms, if the file says so. Without it that is refused as a wrong file."`

	databaseSettings
}

// Help tells of the file.
func (*rosterImport) Help() string {
	return `The file is CSV in UTF-8 with the header

  email,name,role,waiting_rooms

and a line for each person of the clinic:

  ann.lee@east.example,Ann Lee,Physician,Front desk;Lab

The e-mail address (up to 254 characters, once in the file, whatever the case) is who somebody is: under another address they are somebody else.
The name has up to 200 characters. The role, up to 100, is shown beside it as it is. Provider, Physician, Doctor, MD, DO, NP, PA, Nurse practitioner
and Physician assistant are providers; Patient makes a patient, whom nobody finds; all others are staff. The waiting rooms, separated by
semicolons, have names of up to 100 characters; who is in none has no contacts. A file has up to 250,000 lines.

The file is the full state: who is missing in it is deactivated, and rooms that it does not name are closed. A bad line stops all of it.`
}

// Run imports a roster.
func (c *rosterImport) Run(streams streams) error {
	if err := c.check(); err != nil {
		return err
	}
	rows, err := c.read(streams.stdin)
	if err != nil {
		return err
	}
	return withChat(c.databaseSettings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		clinic, err := c.which(ctx, service)
		if err != nil {
			return err
		}
		change, err := service.ImportRoster(ctx, chat.ImportRosterInput{
			Clinic: clinic, Rows: rows, DryRun: c.DryRun, AllowDeactivations: c.AllowDeactivations, Progress: progress(streams.stderr),
		})
		if wrongFile := new(chat.DeactivationsError); errors.As(err, &wrongFile) {
			return fmt.Errorf("%w: see whom with --dry-run, and if it is right, say --allow-deactivations", wrongFile)
		}
		if err != nil {
			return flagged(err)
		}
		report(streams.stdout, clinic, change, c.DryRun)
		if change.NeedsLeave && !c.AllowDeactivations {
			return errors.New("it would be refused without --allow-deactivations")
		}
		return nil
	})
}

func (c *rosterImport) read(stdin io.Reader) ([]chat.RosterRow, error) {
	if c.File == "-" {
		return chat.ReadRoster(stdin)
	}
	file, err := os.Open(c.File)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return chat.ReadRoster(file)
}

// which is the clinic that the roster is of. A roster replaces another, so in doubt it asks.
func (c *rosterImport) which(ctx context.Context, service *chat.Service) (string, error) {
	clinics, err := service.Clinics(ctx)
	if err != nil {
		return "", err
	}
	var names, others []string
	for _, clinic := range clinics {
		names = append(names, clinic.Name)
		if clinic.Name != demo.Clinic {
			others = append(others, clinic.Name)
		}
	}
	name := norm.NFC.String(strings.TrimSpace(c.Clinic))
	switch there := slices.Contains(names, name); {
	case name != "" && there && c.NewClinic:
		return "", fmt.Errorf("there is a clinic named %q already: leave --new-clinic away, or choose another name", name)
	case name != "" && !there && len(others) > 0 && !c.NewClinic:
		return "", fmt.Errorf("there is no clinic named %q: there is %s. Correct --clinic, or say --new-clinic to have another one", name, strings.Join(names, "; "))
	case name != "":
		return name, nil
	case len(names) == 1 && len(others) == 1:
		return others[0], nil
	case len(names) > 0:
		return "", fmt.Errorf("say which clinic the roster is of, with --clinic NAME: there is %s", strings.Join(names, "; "))
	}
	return "", errors.New("say which clinic the roster is of: --clinic NAME")
}

// progress shows how far an import is: as a bar in a terminal, else in lines.
func progress(stderr *os.File) func(step string, done, total int) {
	if !term.IsTerminal(int(stderr.Fd())) {
		return func(step string, done, total int) {
			if done < total {
				fmt.Fprintf(stderr, "%d of %d: %s\n", done+1, total, step)
			}
		}
	}
	var bar *progressbar.ProgressBar
	return func(step string, done, total int) {
		if bar == nil {
			bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(stderr), progressbar.OptionSetWidth(30),
				progressbar.OptionSetElapsedTime(true), progressbar.OptionSetPredictTime(false),
				progressbar.OptionSpinnerType(14), progressbar.OptionThrottle(50*time.Millisecond),
				progressbar.OptionClearOnFinish())
		}
		bar.Describe(step)
		_ = bar.Set(done)
	}
}

// listed is how many of each sort of change are named.
const listed = 20

// report says what an import changed, or would change.
func report(to io.Writer, clinic string, change chat.RosterChange, dryRun bool) {
	var parts []string
	count := func(n int, what string) {
		many := "s"
		if n == 1 {
			many = ""
		}
		if n > 0 {
			parts = append(parts, fmt.Sprint(n, " ", strings.ReplaceAll(what, "(s)", many)))
		}
	}
	if change.ClinicCreated {
		parts = append(parts, "a new clinic")
	}
	count(len(change.Added), "added")
	count(len(change.Renamed), "with another name or role")
	count(len(change.Reactivated), "reactivated")
	count(len(change.Deactivated), "deactivated")
	count(len(change.RoomsAdded), "waiting room(s) added")
	count(len(change.RoomsClosed), "waiting room(s) closed")
	count(change.Joined, "joined a waiting room")
	count(change.Left, "left a waiting room")
	count(change.GroupsHandedOver, "group(s) handed over")
	count(change.RemovedFromGroups, "removed from groups")
	said := strings.Join(parts, ", ")
	switch {
	case said == "":
		said = "no changes"
	case dryRun:
		said = "this would change: " + said
	}
	fmt.Fprintf(to, "%s: %s.\n", clinic, said)
	if !dryRun {
		return
	}
	slices.Sort(change.RoomsClosed)
	slices.Sort(change.Moves)
	for _, sort := range []struct {
		name   string
		values []string
	}{
		{"added", change.Added},
		{"with another name or role", change.Renamed},
		{"reactivated", change.Reactivated},
		{"deactivated", change.Deactivated},
		{"waiting rooms added", change.RoomsAdded},
		{"waiting rooms closed", change.RoomsClosed},
		{"waiting rooms joined and left", change.Moves},
	} {
		if len(sort.values) == 0 {
			continue
		}
		fmt.Fprintf(to, "%s:\n", sort.name)
		for _, value := range sort.values[:min(len(sort.values), listed)] {
			fmt.Fprintf(to, "  %s\n", value)
		}
		if more := len(sort.values) - listed; more > 0 {
			fmt.Fprintf(to, "  and %d more\n", more)
		}
	}
	fmt.Fprintln(to, "Nothing was changed.")
}
