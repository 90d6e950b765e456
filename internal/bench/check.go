package main

import (
	"context"
	"fmt"
)

// check asks the API for what the seeder wrote: how many conversations somebody has and how much is unread in them, who their
// contacts are, and what was said in a conversation from its end to its beginning.
func (c *clinic) check(ctx context.Context, size size) error {
	me := c.people[0]
	var has, found struct{ Conversations, Unread, Contacts, Messages int }
	const query = `
		SELECT (SELECT count(*) FROM participants WHERE user_id = $1) AS conversations,
			(SELECT sum(text_count - read_text_count) FROM participants JOIN conversations ON conversations.id = conversation_id
				WHERE user_id = $1) AS unread,
			(SELECT count(*) FROM messages WHERE conversation_id = $2) AS messages`
	if err := c.db.GetContext(ctx, &has, query, me, c.deep[0].id); err != nil {
		return err
	}
	rooms := map[string]bool{}
	for _, room := range roomsOf(0, size.Staff) {
		rooms[room] = true
	}
	for n := 1; n < min(house, size.Staff); n++ {
		for _, room := range roomsOf(n, size.Staff) {
			if rooms[room] {
				has.Contacts++
				break
			}
		}
	}

	type pageInfo struct {
		HasNextPage bool
		EndCursor   *string
	}
	var page struct {
		Viewer struct {
			Conversations struct {
				Nodes    []struct{ UnreadCount int }
				PageInfo pageInfo
			}
			Contacts struct {
				Nodes    []struct{ Name string }
				PageInfo pageInfo
			}
		}
	}
	conversations, contacts := &page.Viewer.Conversations, &page.Viewer.Contacts
	for after := (*string)(nil); ; after = conversations.PageInfo.EndCursor {
		conversations.Nodes = nil
		const document = `query ($after: Cursor) { viewer { conversations(first: 100, after: $after) { nodes { unreadCount } pageInfo { hasNextPage endCursor } } } }`
		if err := c.decode(ctx, me, document, map[string]any{"after": after}, &page); err != nil {
			return err
		}
		for _, node := range conversations.Nodes {
			found.Conversations++
			found.Unread += node.UnreadCount
		}
		if !conversations.PageInfo.HasNextPage {
			break
		}
	}
	for after := (*string)(nil); ; after = contacts.PageInfo.EndCursor {
		contacts.Nodes = nil
		const document = `query ($after: Cursor) { viewer { contacts(first: 100, after: $after) { nodes { name } pageInfo { hasNextPage endCursor } } } }`
		if err := c.decode(ctx, me, document, map[string]any{"after": after}, &page); err != nil {
			return err
		}
		found.Contacts += len(contacts.Nodes)
		if !contacts.PageInfo.HasNextPage {
			break
		}
	}
	places, err := c.places(ctx, c.deep[0])
	if err != nil {
		return err
	}
	found.Messages = len(places) * historyPage
	if has.Messages-found.Messages < historyPage { // the rest of a page is none
		found.Messages = has.Messages
	}
	if found != has {
		return fmt.Errorf("the API does not read what is there: %+v instead of %+v", found, has)
	}
	return nil
}
