package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"

	"corridor/internal/chat"
)

type serviceAccountCommands struct {
	List       serviceAccountList       `cmd:"" help:"Show the service accounts of a clinic, by name."`
	Deactivate serviceAccountDeactivate `cmd:"" help:"End a service account, its keys for good, and what is open by them within five seconds."`
	Reactivate serviceAccountReactivate `cmd:"" help:"Bring back a service account that was deactivated. It is in no waiting room and needs new keys."`
}

type serviceAccountList struct {
	clinicSetting
	databaseSettings
}

// Run lists service accounts.
func (c *serviceAccountList) Run(streams streams) error {
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		return printUsers(streams, func(page chat.Forward) (chat.Page[chat.User], error) {
			return service.ServiceAccounts(ctx, operator, page, true)
		})
	})
}

// printUsers lists users, by pages as they are read.
func printUsers(streams streams, read func(chat.Forward) (chat.Page[chat.User], error)) error {
	table := tabwriter.NewWriter(streams.stdout, 0, 0, 2, ' ', 0)
	defer table.Flush()
	fmt.Fprintln(table, "EMAIL\tNAME\tSTATE")
	for page := (chat.Forward{First: chat.MaxPage}); ; {
		users, err := read(page)
		if err != nil {
			return err
		}
		for _, user := range users.Items {
			state := "ACTIVE"
			if !user.IsActive() {
				state = "DEACTIVATED"
			}
			fmt.Fprintf(table, "%s\t%s\t%s\n", user.Email, user.Name, state)
		}
		if !users.HasNext {
			return nil
		}
		page.After = chat.Cursor(users.Items[len(users.Items)-1].Position())
	}
}

// serviceAccountArgument says for which service account a command is.
type serviceAccountArgument struct {
	Email string `arg:"" help:"Which: its e-mail address."`

	clinicSetting
	databaseSettings
}

// change changes the account and says what it is from then on.
func (c *serviceAccountArgument) change(streams streams, is string, do func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error) error {
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		account, err := findServiceAccount(ctx, service, operator, c.Email)
		if err != nil {
			return err
		}
		if err := do(ctx, service, operator, account.ID); err != nil {
			return err
		}
		_, err = fmt.Fprintf(streams.stdout, "%s %s.\n", account.Email, is)
		return err
	})
}

// findServiceAccount finds an account, also one that was deactivated.
func findServiceAccount(ctx context.Context, service *chat.Service, operator chat.Actor, email string) (*chat.User, error) {
	account, err := service.FindServiceAccount(ctx, operator, email)
	if isNotFound(err) {
		return nil, fmt.Errorf("the clinic has no service account %q: `corridor service-account list` shows them, and `corridor key create` makes one", strings.TrimSpace(email))
	}
	return account, err
}

// isGone says of an account that was deactivated what to do.
func isGone(account *chat.User) error {
	return fmt.Errorf("--service-account: %s was deactivated: `corridor service-account reactivate` brings it back", account.Email)
}

type serviceAccountDeactivate struct{ serviceAccountArgument }

// Run ends an account.
func (c *serviceAccountDeactivate) Run(streams streams) error {
	return c.change(streams, "is deactivated, and its keys are revoked", func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error {
		_, err := service.DeactivateServiceAccount(ctx, operator, chat.DeactivateServiceAccountInput{ServiceAccountID: account})
		return err
	})
}

type serviceAccountReactivate struct{ serviceAccountArgument }

// Run brings an account back.
func (c *serviceAccountReactivate) Run(streams streams) error {
	return c.change(streams, "is in use: corridor key create makes keys for it", func(ctx context.Context, service *chat.Service, operator chat.Actor, account chat.UserID) error {
		_, err := service.ReactivateServiceAccount(ctx, operator, chat.ReactivateServiceAccountInput{ServiceAccountID: account})
		return err
	})
}
