package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"go.jetify.com/typeid"

	"corridor/graph/scalar"
	"corridor/internal/chat"
)

type keyCommands struct {
	Create keyCreate `cmd:"" help:"Make a key for a partner's program, and print it. It is shown this once."`
	List   keyList   `cmd:"" help:"Show the keys of a clinic, the newest first."`
	Rotate keyRotate `cmd:"" help:"Make a key like another one, which ends after a while, and print it."`
	Revoke keyRevoke `cmd:"" help:"End a key at once."`
}

// clinicSetting says which clinic a command is for.
type clinicSetting struct {
	Clinic string `placeholder:"NAME" help:"The clinic. Without it the only clinic there is."`
}

// operate does something as the operator of the clinic.
func (c clinicSetting) operate(settings *databaseSettings, streams streams, do func(ctx context.Context, service *chat.Service, operator chat.Actor) error) error {
	if err := settings.check(); err != nil {
		return err
	}
	return withOldChat(*settings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		name := c.Clinic
		clinics, err := service.Clinics(ctx)
		if err != nil {
			return err
		}
		if name == "" && len(clinics) == 1 {
			name = clinics[0].Name
		}
		operator, err := service.Operator(ctx, name)
		switch {
		case isNotFound(err) && c.Clinic == "" && len(clinics) > 0:
			return fmt.Errorf("say which clinic, with --clinic NAME: there is %s", strings.Join(names(clinics), "; "))
		case isNotFound(err):
			return noClinic(name, clinics)
		case err != nil:
			return err
		}
		return do(ctx, service, operator)
	})
}

type keyCreate struct {
	Name           string        `arg:"" help:"What the key is called, for people."`
	ServiceAccount string        `required:"" placeholder:"EMAIL" help:"As whom it acts: the e-mail address of a service account, which is made if there is none."`
	AccountName    string        `placeholder:"NAME" help:"What a new service account is called in chats; the name of the key by default."`
	Scopes         []string      `required:"" placeholder:"SCOPE,…" help:"What it may be used for: contacts:read, roster:write, conversations:read, conversations:write, webhooks:write."`
	Networks       []string      `placeholder:"NETWORK,…" help:"From where it may be used, as 192.0.2.0/24. From everywhere without any."`
	DocumentsOnly  bool          `help:"Let it run nothing but registered documents: see corridor documents."`
	Expires        time.Duration `default:"8760h" placeholder:"TIME" help:"How long it is good for, at most 17568h, which is two years (${default}, a year)."`

	clinicSetting
	databaseSettings
}

// Run makes a key and prints it, and nothing else, to standard output.
func (c *keyCreate) Run(streams streams) error {
	scopes := make([]chat.Scope, len(c.Scopes))
	for i, text := range c.Scopes {
		var err error
		if scopes[i], err = chat.ParseScope(text); err != nil {
			return usageError{flagged(err)}
		}
	}
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		account, err := service.FindServiceAccount(ctx, operator, c.ServiceAccount)
		switch {
		case isNotFound(err):
			name := cmp.Or(c.AccountName, c.Name)
			if account, err = service.CreateServiceAccount(ctx, operator, chat.CreateServiceAccountInput{Name: name, Email: c.ServiceAccount}); err == nil {
				fmt.Fprintf(streams.stderr, "A new service account acts with it: %q, %s.\n", account.Name, account.Email)
			}
		case err == nil && !account.IsActive():
			return isGone(account)
		case err == nil && c.AccountName != "" && c.AccountName != account.Name:
			return fmt.Errorf("--account-name: it is for a new service account, and %s exists and is called %q: leave the flag out", account.Email, account.Name)
		}
		if err != nil {
			return keyFlagged(err)
		}
		expires := time.Now().Add(c.Expires)
		key, secret, err := service.CreatePartnerKey(ctx, operator, chat.CreatePartnerKeyInput{
			ServiceAccountID: account.ID, Name: c.Name, Scopes: scopes, Networks: c.Networks, DocumentsOnly: c.DocumentsOnly, ExpiresAt: &expires,
		})
		if err != nil {
			return keyFlagged(err)
		}
		return printKey(streams, key, secret)
	})
}

// keyFlagged puts before an error of chat the flag or argument of these commands that it is about.
func keyFlagged(err error) error {
	refused := new(chat.Error)
	if !errors.As(err, &refused) || len(refused.Field) == 0 {
		return err
	}
	flag, ok := map[string]string{
		"email": "--service-account", "name": "the name", "keyId": "the key", "overlapMinutes": "--overlap", "expiresAt": "--expires",
		"scopes": "--scopes", "networks": "--networks", "serviceAccountId": "--service-account",
	}[refused.Field[0]]
	if !ok {
		return flagged(err)
	}
	return fmt.Errorf("%s: %s", flag, refused.Message)
}

// printKey prints a secret to standard output, and what to know of it beside.
func printKey(streams streams, key *chat.PartnerKey, secret string) error {
	fmt.Fprintf(streams.stderr, "Key %s is good until %s UTC. This is the only time that it is shown:\n", keyID(key.ID), key.ExpiresAt.UTC().Format("2006-01-02 15:04"))
	_, err := fmt.Fprintln(streams.stdout, secret)
	return err
}

// keyID is the id of a key as the API has it.
func keyID(id chat.PartnerKeyID) string {
	return typeid.Must(typeid.FromUUIDBytesWithPrefix(scalar.PartnerKey, id.UUID[:])).String()
}

// readKeyID reads the id of a key.
func readKeyID(text string) (chat.PartnerKeyID, error) {
	id, err := scalar.UnmarshalPartnerKeyID(text)
	if err != nil || id.UUID == uuid.Nil {
		return id, wrong("%q is no id of a key: `corridor key list` shows them", text)
	}
	return id, nil
}

type keyList struct {
	clinicSetting
	databaseSettings
}

// Run lists keys.
func (c *keyList) Run(streams streams) error {
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		table := tabwriter.NewWriter(streams.stdout, 0, 0, 2, ' ', 0)
		defer table.Flush()
		fmt.Fprintln(table, "ID\tNAME\tSERVICE ACCOUNT\tSTATE\tSCOPES\tDOCUMENTS\tNETWORKS\tEXPIRES\tLAST USED\tREPLACES")
		for page := (chat.Forward{First: chat.MaxPage}); ; {
			keys, err := service.PartnerKeys(ctx, operator, page)
			if err != nil {
				return err
			}
			accounts := make([]chat.UserID, len(keys.Items))
			for i, key := range keys.Items {
				accounts[i] = key.ServiceAccountID
			}
			who, err := service.Users(ctx, operator, accounts)
			if err != nil {
				return err
			}
			for _, key := range keys.Items {
				showKey(table, key, who[key.ServiceAccountID].Email)
			}
			if !keys.HasNext {
				return nil
			}
			page.After = chat.Cursor(keys.Items[len(keys.Items)-1].Position())
		}
	})
}

func showKey(to io.Writer, key chat.PartnerKey, account string) {
	scopes := make([]string, len(key.Scopes()))
	for i, scope := range key.Scopes() {
		scopes[i] = scope.String()
	}
	documents, networks, used, replaces := "any", "everywhere", "never", "none"
	if key.DocumentsOnly {
		documents = "registered"
	}
	if len(key.Networks()) > 0 {
		networks = strings.Join(key.Networks(), ",")
	}
	if key.LastUsedAt != nil {
		used = key.LastUsedAt.UTC().Format("2006-01-02 15:04")
	}
	if key.PredecessorID != nil {
		replaces = keyID(*key.PredecessorID)
	}
	fmt.Fprintf(to, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", keyID(key.ID), key.Name, account, key.State(), strings.Join(scopes, ","), documents, networks,
		key.ExpiresAt.UTC().Format("2006-01-02 15:04"), used, replaces)
}

type keyRotate struct {
	ID      string        `arg:"" help:"Which key: its id."`
	Overlap time.Duration `default:"24h" placeholder:"TIME" help:"How long the old key stays good, at most 168h (${default})."`
	Expires time.Duration `default:"8760h" placeholder:"TIME" help:"How long the new key is good for, at most 17568h (${default}, a year)."`

	clinicSetting
	databaseSettings
}

// Run makes the successor of a key.
func (c *keyRotate) Run(streams streams) error {
	id, err := readKeyID(c.ID)
	if err != nil {
		return err
	}
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		expires := time.Now().Add(c.Expires)
		key, secret, err := service.RotatePartnerKey(ctx, operator, chat.RotatePartnerKeyInput{KeyID: id, OverlapMinutes: int(c.Overlap.Minutes()), ExpiresAt: &expires})
		if err != nil {
			return keyFlagged(err)
		}
		fmt.Fprintf(streams.stderr, "The key before stays good for at most %s.\n", c.Overlap)
		return printKey(streams, key, secret)
	})
}

type keyRevoke struct {
	ID string `arg:"" help:"Which key: its id."`

	clinicSetting
	databaseSettings
}

// Run ends a key.
func (c *keyRevoke) Run(streams streams) error {
	id, err := readKeyID(c.ID)
	if err != nil {
		return err
	}
	return c.operate(&c.databaseSettings, streams, func(ctx context.Context, service *chat.Service, operator chat.Actor) error {
		key, err := service.RevokePartnerKey(ctx, operator, chat.RevokePartnerKeyInput{KeyID: id})
		if err == nil {
			fmt.Fprintf(streams.stdout, "%s (%s) is revoked.\n", keyID(key.ID), key.Name)
		}
		return keyFlagged(err)
	})
}
