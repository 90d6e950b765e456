package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"corridor/internal/chat"
)

type tokenCommand struct {
	Email  string        `required:"" placeholder:"EMAIL" help:"Whose token: the e-mail address in the roster."`
	Clinic string        `placeholder:"NAME" help:"Of which clinic, for people who are at several."`
	TTL    time.Duration `name:"ttl" default:"12h" placeholder:"TIME" help:"How long the token is good for, at most 720h (${default})."`

	databaseSettings
	keySettings
}

// maxTTL is as long as a token that was lost can do harm.
const maxTTL = 30 * 24 * time.Hour

// Run prints a token, and nothing else, to standard output.
func (c *tokenCommand) Run(streams streams) error {
	if err := c.databaseSettings.check(); err != nil {
		return err
	}
	if err := c.keySettings.check(c.databaseSettings); err != nil {
		return err
	}
	if c.TTL < time.Second || c.TTL > maxTTL {
		return wrong("--ttl is %s: it must be from 1s to 720h, which is 30 days", c.TTL)
	}
	if strings.TrimSpace(c.Email) == "" {
		return wrong("--email is empty: whose token?")
	}
	return withOldChat(c.databaseSettings, streams.stderr, func(ctx context.Context, service *chat.Service) error {
		key, err := c.keySettings.open(c.databaseSettings)
		if err != nil {
			return err
		}
		user, err := service.FindUser(ctx, c.Email, c.Clinic)
		if err != nil {
			return flagged(err)
		}
		token, err := key.Mint(user.ID.UUID, c.TTL)
		if err == nil {
			_, err = fmt.Fprintln(streams.stdout, token)
		}
		return err
	})
}
