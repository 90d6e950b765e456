package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"corridor/internal/chat"
)

type sessionCommands struct {
	End sessionEnd `cmd:"" help:"End all sessions of a person: tokens that were issued until now are refused, and open connections closed within 5 seconds."`
}

type sessionEnd struct {
	Email  string `required:"" placeholder:"EMAIL" help:"Whose sessions: the e-mail address in the roster."`
	Clinic string `placeholder:"NAME" help:"Of which clinic, for people who are at several."`

	databaseSettings
}

// Run ends the sessions.
func (c *sessionEnd) Run(streams streams) error {
	if err := c.check(); err != nil {
		return err
	}
	if strings.TrimSpace(c.Email) == "" {
		return wrong("--email is empty: whose sessions?")
	}
	return withOldChat(c.databaseSettings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		user, err := service.FindUser(ctx, c.Email, c.Clinic)
		if err != nil {
			return flagged(err)
		}
		at, err := service.EndSessions(ctx, user)
		if err == nil {
			_, err = fmt.Fprintf(streams.stdout, "The sessions of %s ended at %s. Tokens that are issued from now on are good.\n", user.Email, at.UTC().Format(time.RFC3339))
		}
		return err
	})
}
