package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"corridor/internal/chat"
)

type clinicCommands struct {
	Show clinicShow `cmd:"" help:"Show what a clinic has decided, or all clinics."`
	Set  clinicSet  `cmd:"" help:"Change what a clinic has decided. Only what is given changes."`

	Administrator administratorCommands `cmd:"" help:"Who administers a clinic: its partner keys, service accounts and roster."`
}

type administratorCommands struct {
	Set  clinicAdministrator `cmd:"" default:"withargs" help:"Let somebody administer their clinic. This is what happens with an address and no command."`
	List administratorList   `cmd:"" help:"Show who administers a clinic, by name."`
}

type administratorList struct {
	clinicSetting
	databaseSettings
}

// Run lists administrators.
func (c *administratorList) Run(streams streams) error {
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		return printUsers(streams, func(page chat.Forward) (chat.Page[chat.User], error) {
			return service.Administrators(ctx, operator, page)
		})
	})
}

type clinicShow struct {
	Name string `arg:"" optional:"" help:"The clinic. Without a name all of them are shown."`

	databaseSettings
}

// Run shows clinics.
func (c *clinicShow) Run(streams streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return withOldChat(c.databaseSettings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		clinics, err := service.Clinics(ctx)
		if err != nil {
			return err
		}
		usages, err := service.FileUsages(ctx)
		if err != nil {
			return err
		}
		shown := 0
		for _, clinic := range clinics {
			if c.Name == "" || clinic.Name == c.Name {
				showClinic(streams.stdout, clinic, usages[clinic.ID])
				shown++
			}
		}
		switch {
		case c.Name != "" && shown == 0:
			return noClinic(c.Name, clinics)
		case shown == 0:
			fmt.Fprintln(streams.stdout, "There is no clinic yet. Import a roster to make one: corridor roster import FILE --clinic NAME")
		}
		return nil
	})
}

func noClinic(name string, clinics []chat.Clinic) error {
	if len(clinics) == 0 {
		return fmt.Errorf("there is no clinic yet: import a roster to make one")
	}
	return fmt.Errorf("there is no clinic named %q: there is %s", name, strings.Join(names(clinics), "; "))
}

func names(clinics []chat.Clinic) []string {
	names := make([]string, len(clinics))
	for i, clinic := range clinics {
		names[i] = clinic.Name
	}
	return names
}

type clinicAdministrator struct {
	Email  string `arg:"" help:"Who: the e-mail address in the roster."`
	Clinic string `placeholder:"NAME" help:"Of which clinic, for people who are at several."`
	Remove bool   `help:"Let them administer it no longer."`

	databaseSettings
}

// Run appoints an administrator, or dismisses one.
func (c *clinicAdministrator) Run(streams streams) error {
	if err := c.check(); err != nil {
		return err
	}
	return withOldChat(c.databaseSettings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		user, err := service.FindUser(ctx, c.Email, c.Clinic)
		if err != nil && (!c.Remove || user.ID == chat.UserID{}) {
			return flagged(err)
		}
		if err := service.SetAdministrator(ctx, user, !c.Remove); err != nil {
			return err
		}
		said := "administers the clinic"
		if c.Remove {
			said = "does not administer the clinic any more"
		}
		_, err = fmt.Fprintf(streams.stdout, "%s %s.\n", user.Email, said)
		return err
	})
}

// showClinic shows a clinic's policy in the words that clinic set takes, and what files it has.
func showClinic(to io.Writer, clinic chat.Clinic, has chat.FileUsage) {
	noun := "files"
	if has.Files == 1 {
		noun = "file"
	}
	fmt.Fprintf(to, "%s (%d %s, %s)\n", clinic.Name, has.Files, noun, chat.Megabytes(has.Bytes))
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	defer table.Flush()
	policy := clinic.Policy
	for _, row := range [][2]string{
		{"manage-participants", string(policy.ManageParticipants)},
		{"rename-group", string(policy.RenameGroup)},
		{"history-choice", strconv.FormatBool(policy.HistoryChoice)},
		{"strict-direct", strconv.FormatBool(policy.StrictDirect)},
		{"remove-on-room-exit", strconv.FormatBool(policy.RemoveOnRoomExit)},
		{"keep-archived", strconv.FormatBool(policy.KeepArchived)},
		{"group-size-limit", strconv.Itoa(policy.GroupSizeLimit)},
		{"retention-days", strconv.Itoa(policy.RetentionDays)},
		{"legal-hold", strconv.FormatBool(policy.LegalHold)},
		{"file-quota", strconv.Itoa(policy.FileQuota)},
		{"support-contact", policy.SupportContact},
	} {
		fmt.Fprintf(table, "  %s\t%s\n", row[0], row[1])
	}
}

type clinicSet struct {
	Name string `arg:"" help:"The clinic."`

	ManageParticipants *string `placeholder:"WHO" help:"Who may add people to groups and remove them: ANY_PARTICIPANT or OWNER_ONLY."`
	RenameGroup        *string `placeholder:"WHO" help:"Who may rename groups: ANY_PARTICIPANT or OWNER_ONLY."`
	HistoryChoice      *bool   `negatable:"" help:"Let who adds a person choose how much of the history they see."`
	StrictDirect       *bool   `negatable:"" help:"Make a direct conversation read-only while the two share no waiting room."`
	RemoveOnRoomExit   *bool   `negatable:"" help:"Take people out of groups in which they share no waiting room with anybody any more."`
	KeepArchived       *bool   `negatable:"" help:"Leave archived conversations archived when a message arrives."`
	GroupSizeLimit     *int    `placeholder:"N" help:"How many people a group holds, 2 to 1000."`
	RetentionDays      *int    `placeholder:"DAYS" help:"How long the content of deleted groups is kept before it is erased, 0 to 36500."`
	LegalHold          *bool   `negatable:"" help:"Erase no messages, however old, nor files that were sent, but for infected ones."`
	FileQuota          *int    `placeholder:"MB" help:"How many megabytes (of 1,048,576 bytes) of files it may have, 0 to 100000000. With less than it has, nothing goes and nothing comes."`
	SupportContact     *string `placeholder:"TEXT" help:"Whom people turn to for help."`

	databaseSettings
}

// Run changes what was given.
func (c *clinicSet) Run(streams streams) error {
	if err := c.check(); err != nil {
		return err
	}
	changes := 0
	change := func(policy *chat.Policy) {
		changes = set(&policy.ManageParticipants, who(c.ManageParticipants)) +
			set(&policy.RenameGroup, who(c.RenameGroup)) +
			set(&policy.HistoryChoice, c.HistoryChoice) +
			set(&policy.StrictDirect, c.StrictDirect) +
			set(&policy.RemoveOnRoomExit, c.RemoveOnRoomExit) +
			set(&policy.KeepArchived, c.KeepArchived) +
			set(&policy.GroupSizeLimit, c.GroupSizeLimit) +
			set(&policy.RetentionDays, c.RetentionDays) +
			set(&policy.LegalHold, c.LegalHold) +
			set(&policy.FileQuota, c.FileQuota) +
			set(&policy.SupportContact, c.SupportContact)
	}
	if change(&chat.Policy{}); changes == 0 {
		return wrong("there is nothing to set: say what, as in `corridor clinic set %q --group-size-limit 100`, and see `corridor clinic set --help`", c.Name)
	}
	return withOldChat(c.databaseSettings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		clinic, err := service.SetPolicy(ctx, c.Name, change)
		if isNotFound(err) {
			clinics, err := service.Clinics(ctx)
			if err != nil {
				return err
			}
			return noClinic(c.Name, clinics)
		}
		if err != nil {
			return flagged(err)
		}
		usages, err := service.FileUsages(ctx)
		if err == nil {
			showClinic(streams.stdout, clinic, usages[clinic.ID])
		}
		return err
	})
}

// flagged puts before an error of chat the flag that it is about.
func flagged(err error) error {
	if refused := new(chat.Error); errors.As(err, &refused) && len(refused.Field) > 0 {
		return fmt.Errorf("--%s: %s", hyphenated(refused.Field[0]), refused.Message)
	}
	return err
}

// hyphenated is the flag of a field: group-size-limit of groupSizeLimit.
func hyphenated(field string) string {
	var flag strings.Builder
	for _, letter := range field {
		if unicode.IsUpper(letter) {
			flag.WriteByte('-')
		}
		flag.WriteRune(unicode.ToLower(letter))
	}
	return flag.String()
}

// who reads the answer to "who may?" as people write it.
func who(given *string) *chat.Who {
	if given == nil {
		return nil
	}
	answer := chat.Who(strings.ToUpper(strings.ReplaceAll(*given, "-", "_")))
	return &answer
}

// set sets what was given and counts it.
func set[T any](to, given *T) int {
	if given == nil {
		return 0
	}
	*to = *given
	return 1
}
