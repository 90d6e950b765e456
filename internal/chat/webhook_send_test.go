package chat

import (
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
	"corridor/internal/postgres"
)

// telling is a service that has webhooks, which nobody reads for or sends.
func telling(t *testing.T) *Service {
	t.Helper()
	return tellingIn(t, pgtest.New(t))
}

func tellingIn(t *testing.T, database *pgtest.Database) *Service {
	t.Helper()
	db, logger := database.Open(), slog.New(slog.DiscardHandler)
	s := New(db, eventlog.New(db, eventlog.ByPostgres(db, database.URL), []byte("key"), logger), logger)
	err := s.UseWebhooks(Webhooks{Key: make([]byte, 32), Reaches: func(netip.Addr) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// accountOf is a service account of a clinic whose key may read conversations.
func accountOf(t *testing.T, s *Service, operator Actor) UserID {
	t.Helper()
	account, err := s.CreateServiceAccount(t.Context(), operator, CreateServiceAccountInput{Name: "Fax", Email: uuid.NewString() + "@x.example"})
	if err != nil {
		t.Fatal(err)
	}
	in := CreatePartnerKeyInput{ServiceAccountID: account.ID, Name: "Key", Scopes: []Scope{ConversationsRead, WebhooksWrite}}
	if _, _, err := s.CreatePartnerKey(t.Context(), operator, in); err != nil {
		t.Fatal(err)
	}
	return account.ID
}

// webhookWith is a webhook of a clinic that has something to tell of so many conversations.
func webhookWith(t *testing.T, s *Service, clinic string, conversations int) WebhookID {
	t.Helper()
	operator, err := s.Operator(t.Context(), clinic)
	if err != nil {
		t.Fatal(err)
	}
	account := accountOf(t, s, operator)
	webhook, _, err := s.CreateWebhook(t.Context(), operator, CreateWebhookInput{
		ServiceAccountID: &account, Name: "Lab", URL: "https://partner.example", EventTypes: []WebhookEventType{WebhookMessageAdded},
	})
	if err != nil {
		t.Fatal(err)
	}
	deliveries := make([]WebhookDelivery, conversations)
	for i := range deliveries {
		deliveries[i] = WebhookDelivery{ID: newID(), Type: WebhookMessageAdded, ConversationID: &ConversationID{newID()}, OccurredAt: time.Now()}
	}
	err = postgres.InTx(t.Context(), s.db, func(tx *sqlx.Tx) error { return enqueue(t.Context(), tx, webhook.ID, 1, deliveries) })
	if err != nil {
		t.Fatal(err)
	}
	return webhook.ID
}

func takes(t *testing.T, s *Service, most, mostFailing int) (batches []*WebhookBatch, of map[WebhookID]int) {
	t.Helper()
	batches, err := s.TakeWebhooks(t.Context(), most, mostFailing)
	if err != nil {
		t.Fatal(err)
	}
	of = map[WebhookID]int{}
	for _, batch := range batches {
		of[batch.WebhookID]++
	}
	return batches, of
}

// TestDeadWebhooksLeavePlacesToOthers lets the webhooks of two clinics answer nothing, each time for as long as an attempt may take.
func TestDeadWebhooksLeavePlacesToOthers(t *testing.T) {
	t.Parallel()
	s := telling(t)
	clinicOf(t, s, "Dead", "Ann: Lab")
	clinicOf(t, s, "Gone", "Zed: Lab")
	clinicOf(t, s, "Healthy", "Zoe: Lab")
	dead := map[WebhookID]bool{}
	for range 12 {
		dead[webhookWith(t, s, "Dead", 20)] = true
		dead[webhookWith(t, s, "Gone", 20)] = true
	}
	// All of it was to be told before the others come.
	s.db.MustExec(`UPDATE webhook_queues SET next_at = next_at - interval '1 hour'`)
	ofSame, ofOther := webhookWith(t, s, "Dead", 1), webhookWith(t, s, "Healthy", 1)
	const places, failing = 32, 10
	tried := map[WebhookID]bool{}
	for round := range 8 {
		batches, of := takes(t, s, places, failing)
		for _, batch := range batches {
			if !dead[batch.WebhookID] {
				if err := s.WebhookDelivered(t.Context(), batch, batch.Deliveries[0]); err != nil {
					t.Fatal(err)
				}
				if err := s.FinishWebhook(t.Context(), batch); err != nil {
					t.Fatal(err)
				}
				continue
			}
			tried[batch.WebhookID] = true
			if _, err := s.WebhookFailed(t.Context(), batch, batch.Deliveries[0], WebhookFailure{Sentence: "It did not answer."}); err != nil {
				t.Fatal(err)
			}
		}
		if round == 0 && (of[ofSame] != 1 || of[ofOther] != 1) {
			t.Errorf("%d of a dead clinic and %d of another are taken at once", of[ofSame], of[ofOther])
		}
		s.db.MustExec(`UPDATE webhook_queues SET next_at = next_at - interval '10 seconds'`)
	}
	if len(tried) != len(dead) {
		t.Errorf("%d of %d were tried", len(tried), len(dead))
	}

	// All of them fail now.
	again := map[WebhookID]bool{webhookWith(t, s, "Dead", 1): true, webhookWith(t, s, "Healthy", 1): true}
	batches, of := takes(t, s, places, failing)
	slow := 0
	for _, batch := range batches {
		if batch.Fails {
			slow++
		}
		if batch.Fails != dead[batch.WebhookID] {
			t.Errorf("it fails: %t", batch.Fails)
		}
	}
	if slow != failing {
		t.Errorf("%d are taken of those that fail, not %d", slow, failing)
	}
	for id, n := range of {
		if dead[id] && n > 1 {
			t.Errorf("%d are taken of one that fails", n)
		}
		delete(again, id)
	}
	if len(again) > 0 {
		t.Error("one that works waits")
	}
	// And while they are under way:
	webhookWith(t, s, "Dead", 1)
	if batches, _ := takes(t, s, places-len(batches), 0); len(batches) != 1 || batches[0].Fails {
		t.Errorf("%d are taken besides", len(batches))
	}
}

func TestAClinicHasHalfThePlaces(t *testing.T) {
	t.Parallel()
	s := telling(t)
	clinicOf(t, s, "Busy", "Ann: Lab")
	clinicOf(t, s, "Quiet", "Zoe: Lab")
	for range 10 {
		webhookWith(t, s, "Busy", 10)
	}
	quiet := webhookWith(t, s, "Quiet", 1)

	first, of := takes(t, s, 32, 16)
	second, _ := takes(t, s, 15, 16)

	if len(first) != clinicAtOnce+1 || of[quiet] != 1 || len(second) != 0 {
		t.Errorf("%d and %d are taken, %d of the quiet clinic", len(first), len(second), of[quiet])
	}
	for id, n := range of {
		if n > claimAtOnce {
			t.Errorf("%d of %v", n, id)
		}
	}
}

// TestWhatWaitsInPausedWebhooksIsNotRead counts the pages that a look for what is due reads.
func TestWhatWaitsInPausedWebhooksIsNotRead(t *testing.T) {
	t.Parallel()
	server := pgtest.NewExplaining(t)
	s := tellingIn(t, server.Database)
	clinicOf(t, s, "Clinic", "Ann: Lab")
	operator, err := s.Operator(t.Context(), "Clinic")
	if err != nil {
		t.Fatal(err)
	}
	pages := func() (read int) {
		t.Helper()
		ran := server.Ran(func() {
			if _, err := s.TakeWebhooks(t.Context(), 32, 16); err != nil {
				t.Error(err)
			}
		})
		if len(ran) == 0 {
			t.Fatal("nothing was read")
		}
		for _, statement := range ran {
			read += statement.Buffers
		}
		return read
	}
	for _, name := range []string{"paused", "suspended"} {
		webhook := webhookWith(t, s, "Clinic", 5_000)
		if name == "paused" {
			_, err = s.PauseWebhook(t.Context(), operator, PauseWebhookInput{WebhookID: webhook})
		} else {
			_, err = s.db.Exec(`UPDATE partner_keys SET revoked_at = now()`)
		}
		if err != nil {
			t.Fatal(err)
		}
		// Others work, and have nothing to tell now.
		webhookWith(t, s, "Clinic", 1)
		s.db.MustExec(`UPDATE webhook_queues SET next_at = now() + interval '1 hour' WHERE webhook_id = (SELECT max(id::text)::uuid FROM webhooks)`)
		s.db.MustExec(`VACUUM ANALYZE`)

		if read := pages(); read > 60 {
			t.Errorf("%s: %d pages are read", name, read)
		}
	}
}
