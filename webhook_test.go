package main

import (
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

const webhooksHere = "CORRIDOR_WEBHOOK_NETWORKS=127.0.0.0/8"

// TestTheExamplesForWebhooksDoWhatTheySay runs what docs/partners/webhooks.md shows.
func TestTheExamplesForWebhooksDoWhatTheySay(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(listener.Addr().(*net.TCPAddr).Port)
	listener.Close()
	doesWhatItSays(t, "docs/partners/webhooks.md", "receive", func(page string) string { return strings.ReplaceAll(page, "8765", port) }, webhooksHere)
}

// TestWebhooksTellEverythingInOrderAlthoughServersAreKilled kills the server twice, each time while it is sending.
func TestWebhooksTellEverythingInOrderAlthoughServersAreKilled(t *testing.T) {
	t.Parallel()
	type delivery struct{ id, message, conversation string }
	var mu sync.Mutex
	var got []delivery
	// Those behind so many get no answer, so that something is under way when the server is killed.
	answered := 10
	secret := ""
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		var said struct {
			Data struct{ MessageID, ConversationID string }
		}
		if err := json.Unmarshal(body, &said); err != nil {
			t.Error(err)
		}
		mu.Lock()
		verifier, err := standardwebhooks.NewWebhook(secret)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			t.Error(err)
		}
		got = append(got, delivery{r.Header.Get("webhook-id"), said.Data.MessageID, said.Data.ConversationID})
		held := len(got) > answered
		mu.Unlock()
		if held {
			<-r.Context().Done()
		}
	}))
	defer receiver.Close()

	server := starts(t, demoDir(t), webhooksHere)
	grace := server.token("grace.obrien@lakeside.example")
	var rooms struct {
		Viewer struct {
			WaitingRooms struct{ Nodes []struct{ ID string } }
		}
	}
	server.asks(grace, `{ viewer { waitingRooms { nodes { id } } } }`, nil, &rooms)
	type payload struct {
		ServiceAccount, PartnerKey, Webhook, Group, Message *struct{ ID string }
		Secret                                              string
		UserErrors                                          []struct{ Message string }
	}
	does := func(token, mutation, selection string, input map[string]any) payload {
		t.Helper()
		kind := strings.ToUpper(mutation[:1]) + mutation[1:] + "Input!"
		var answer map[string]payload
		server.asks(token, `mutation ($in: `+kind+`) { `+mutation+`(input: $in) { userErrors { message } `+selection+` } }`, map[string]any{"in": input}, &answer)
		if len(answer[mutation].UserErrors) > 0 {
			t.Fatalf("%s: %v", mutation, answer[mutation].UserErrors)
		}
		return answer[mutation]
	}
	account := does(grace, "createServiceAccount", "serviceAccount { id }", map[string]any{"clientKey": "1", "name": "Cases", "email": "cases@partner.example"}).ServiceAccount.ID
	does(grace, "setServiceAccountWaitingRooms", "", map[string]any{"clientKey": "2", "serviceAccountId": account, "waitingRoomIds": []string{rooms.Viewer.WaitingRooms.Nodes[0].ID}})
	key := does(grace, "createPartnerKey", "secret", map[string]any{"clientKey": "3", "serviceAccountId": account, "name": "Cases", "scopes": []string{"CONVERSATIONS_READ", "WEBHOOKS_WRITE"}}).Secret
	mu.Lock()
	secret = does(key, "createWebhook", "secret", map[string]any{"clientKey": "4", "name": "Cases", "url": receiver.URL, "eventTypes": []string{"MESSAGE_ADDED"}}).Secret
	mu.Unlock()
	var groups []string
	for _, name := range []string{"One", "Two"} {
		groups = append(groups, does(grace, "createGroup", "group { id }", map[string]any{"clientKey": name, "name": name, "userIds": []string{account}}).Group.ID)
	}

	want, all := map[string][]string{}, 0
	for round := range 3 {
		for i := range 30 {
			group := groups[i%2]
			n := strconv.Itoa(100*round + i)
			want[group] = append(want[group], does(grace, "sendMessage", "message { id }", map[string]any{"clientKey": "m" + n, "conversationId": group, "body": n}).Message.ID)
			all++
		}
		if round == 2 {
			break
		}
		eventually(t, "some of it arrived, and more is under way", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(got) > answered
		})
		server.ends(syscall.SIGKILL)
		mu.Lock()
		if answered = len(got) + 25; round == 1 {
			answered = math.MaxInt
		}
		mu.Unlock()
		server = starts(t, server.dir, webhooksHere)
	}

	first := map[string][]string{}
	ids := map[string]string{}
	eventually(t, "everything arrived", func() bool {
		mu.Lock()
		defer mu.Unlock()
		clear(first)
		clear(ids)
		for _, came := range got {
			if ids[came.message] == "" {
				ids[came.message] = came.id
				first[came.conversation] = append(first[came.conversation], came.message)
			}
			if ids[came.message] != came.id {
				t.Fatalf("%s came as %s and as %s", came.message, ids[came.message], came.id)
			}
		}
		return len(ids) >= all
	})
	for _, group := range groups {
		if !slices.Equal(first[group], want[group]) {
			t.Errorf("of one conversation came\n%v, not\n%v", first[group], want[group])
		}
	}
	t.Logf("%d messages, %d deliveries", all, len(got))
}
