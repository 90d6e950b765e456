// Package webhook sends what package chat has written down for webhooks, signed by the Standard Webhooks
// specification (https://www.standardwebhooks.com).
//
// Each event arrives at least once: it is written down in the transaction that moves the webhook's cursor, and taken
// away when the receiver has answered with success. Who dies in between leaves a claim that runs out, and another process
// sends the same again, under the same id. Of one conversation only the oldest event is under way, so the order stays.
package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"code.dny.dev/ssrf"
	"github.com/99designs/gqlgen/graphql"
	"github.com/prometheus/client_golang/prometheus"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/time/rate"

	"corridor/graph/scalar"
	"corridor/internal/chat"
)

const (
	// sendAtOnce bounds the batches that a process has under way.
	sendAtOnce = 32
	// failAtOnce bounds those of webhooks that fail, so that there is room for others, whoever does not answer.
	failAtOnce = sendAtOnce / 2
	// lookEvery is how often a process looks for what is due without having been told to.
	lookEvery = 500 * time.Millisecond
	// writeTime bounds what is written down of an attempt.
	writeTime = 10 * time.Second
	// maxAnswer is how much of an answer is read, so that the connection can be used again. None of it is kept.
	maxAnswer = 64 << 10
	// The pauses that a receiver may ask for.
	leastPause, mostPause = time.Second, time.Hour
)

// Sender sends for webhooks. Any number of processes may send at the same time.
type Sender struct {
	chat   *chat.Service
	logger *slog.Logger
	// secure and plain reach receivers with TLS and without.
	secure, plain *http.Client

	attempts        *prometheus.CounterVec
	latency         prometheus.Histogram
	backlog, paused prometheus.Gauge
	complaint       rate.Sometimes
}

// New returns a sender for webhooks that may reach what the guard allows.
func New(service *chat.Service, guard *Guard, logger *slog.Logger) *Sender {
	s := &Sender{
		chat: service, logger: logger, secure: client(guard.public.Safe), plain: client(guard.safePlain),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "corridor_webhook_attempts_total",
			Help: "Attempts to deliver to webhooks: delivered, retried later, given up after a day, or stopped with the webhook.",
		}, []string{"outcome"}),
		latency: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "corridor_webhook_answer_seconds", Help: "How long receivers of webhooks take to answer.",
			Buckets: prometheus.ExponentialBuckets(0.01, 2, 11),
		}),
		backlog:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "corridor_webhook_backlog", Help: "Deliveries that wait, in all webhooks of the database."}),
		paused:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "corridor_webhooks_paused", Help: "Webhooks of the database that are paused, by somebody or because nothing got through."}),
		complaint: rate.Sometimes{Interval: time.Minute},
	}
	for _, outcome := range []string{delivered, string(chat.WebhookRetried), string(chat.WebhookGivenUp), string(chat.WebhookStopped)} {
		s.attempts.WithLabelValues(outcome) // from the beginning on
	}
	return s
}

// delivered is the outcome of an attempt that has got through.
const delivered = "delivered"

// Run sends until ctx ends.
func (s *Sender) Run(ctx context.Context) error {
	var under sync.WaitGroup
	defer under.Wait()
	taken, failing := make(chan struct{}, sendAtOnce), make(chan struct{}, failAtOnce)
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		if room := sendAtOnce - len(taken); room > 0 {
			batches, err := s.chat.TakeWebhooks(ctx, room, failAtOnce-len(failing))
			if err != nil {
				s.complain(ctx, err)
			}
			for _, batch := range batches {
				taken <- struct{}{}
				if batch.Fails {
					failing <- struct{}{}
				}
				under.Go(func() {
					s.send(ctx, batch)
					if batch.Fails {
						<-failing
					}
					<-taken
				})
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.chat.WebhookNews():
		case <-look.C:
		}
	}
}

// complain logs a fault that is lived through, once in a while.
func (s *Sender) complain(ctx context.Context, err error) {
	if ctx.Err() == nil {
		s.complaint.Do(func() { s.logger.WarnContext(ctx, "webhooks are not sent", "error", chat.Describe(err)) })
	}
}

// send sends a batch in order, up to the first that does not arrive.
func (s *Sender) send(ctx context.Context, batch *chat.WebhookBatch) {
	// What became of an attempt is written down also when the process is about to end.
	written, cancel := context.WithTimeout(context.WithoutCancel(ctx), chat.SendFor+chat.AttemptTime+writeTime)
	defer cancel()
	if len(batch.Secrets) == 0 && len(batch.Deliveries) > 0 {
		s.failed(written, batch, batch.Deliveries[0], chat.WebhookFailure{Sentence: "Its secret was kept under another token key: rotate it.", Stops: true})
		return
	}
	until := time.Now().Add(chat.SendFor)
	for _, delivery := range batch.Deliveries {
		if ctx.Err() != nil || time.Now().After(until) {
			break
		}
		failure := s.post(ctx, batch, delivery)
		switch {
		case failure == nil:
			s.attempts.WithLabelValues(delivered).Inc()
			if err := s.chat.WebhookDelivered(written, batch, delivery); err != nil {
				s.complain(ctx, err)
				return // it is sent again when the claim has run out
			}
			continue
		case ctx.Err() != nil: // it was we who broke off
		default:
			s.failed(written, batch, delivery, *failure)
			return
		}
	}
	if err := s.chat.FinishWebhook(written, batch); err != nil {
		s.complain(ctx, err)
	}
}

func (s *Sender) failed(ctx context.Context, batch *chat.WebhookBatch, delivery chat.WebhookDelivery, failure chat.WebhookFailure) {
	outcome, err := s.chat.WebhookFailed(ctx, batch, delivery, failure)
	if err != nil {
		s.complain(ctx, err)
		return
	}
	s.attempts.WithLabelValues(string(outcome)).Inc()
	switch outcome {
	case chat.WebhookStopped:
		s.logger.WarnContext(ctx, "a webhook is paused: nothing gets through", "webhook", idOf(scalar.MarshalWebhookID(batch.WebhookID)), "reason", failure.Sentence)
	case chat.WebhookGivenUp:
		s.logger.WarnContext(ctx, "a delivery of a webhook is given up", "webhook", idOf(scalar.MarshalWebhookID(batch.WebhookID)), "reason", failure.Sentence)
	}
}

// post makes one attempt, and returns why the delivery did not arrive, if it did not.
func (s *Sender) post(ctx context.Context, batch *chat.WebhookBatch, delivery chat.WebhookDelivery) *chat.WebhookFailure {
	request, err := newRequest(ctx, batch, delivery, time.Now())
	if err != nil {
		return &chat.WebhookFailure{Sentence: "Its address can't be used."}
	}
	through := s.secure
	if request.URL.Scheme == "http" {
		through = s.plain
	}
	began := time.Now()
	response, err := through.Do(request)
	if err != nil {
		return &chat.WebhookFailure{Sentence: sentence(err)}
	}
	defer response.Body.Close()
	_, _ = io.CopyN(io.Discard, response.Body, maxAnswer) // success is in the status
	s.latency.Observe(time.Since(began).Seconds())
	switch status := response.StatusCode; {
	case status >= 200 && status < 300:
		return nil
	case status == http.StatusGone:
		return &chat.WebhookFailure{Sentence: "It answered 410, that it wants nothing more.", Stops: true}
	case status >= 300 && status < 400:
		return &chat.WebhookFailure{Sentence: fmt.Sprintf("It answered %d: redirects are not followed.", status)}
	default:
		pause := pauseAskedFor(response.Header.Get("Retry-After"), time.Now())
		return &chat.WebhookFailure{
			Sentence: fmt.Sprintf("It answered %d.", status), RetryAfter: pause,
			Holds: status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable && pause > 0,
		}
	}
}

// newRequest is a delivery as it is sent.
func newRequest(ctx context.Context, batch *chat.WebhookBatch, delivery chat.WebhookDelivery, now time.Time) (*http.Request, error) {
	body, err := json.Marshal(bodyOf(batch.WebhookID, delivery))
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, batch.URL, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	id := idOf(scalar.NodeID{Kind: eventKind, ID: delivery.ID})
	signatures := make([]string, len(batch.Secrets))
	for i, secret := range batch.Secrets {
		signer, err := standardwebhooks.NewWebhookRaw(secret)
		if err != nil {
			return nil, err
		}
		if signatures[i], err = signer.Sign(id, now, body); err != nil {
			return nil, err
		}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "Corridor")
	// As the specification writes them; HTTP does not care.
	request.Header[standardwebhooks.HeaderWebhookID] = []string{id}
	request.Header[standardwebhooks.HeaderWebhookTimestamp] = []string{strconv.FormatInt(now.Unix(), 10)}
	request.Header[standardwebhooks.HeaderWebhookSignature] = []string{strings.Join(signatures, " ")}
	return request, nil
}

// eventKind begins the ids of deliveries.
const eventKind = "event"

// body is what a delivery says. Ids are those of the API.
type body struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"`
	Data      data      `json:"data"`
}

type data struct {
	WebhookID      string  `json:"webhookId"`
	Cursor         *string `json:"cursor,omitempty"`
	ConversationID *string `json:"conversationId,omitempty"`
	MessageID      *string `json:"messageId,omitempty"`
	UserID         *string `json:"userId,omitempty"`
	Reason         *string `json:"reason,omitempty"`
}

func bodyOf(webhook chat.WebhookID, delivery chat.WebhookDelivery) body {
	said := body{
		Type: delivery.Type.String(), Timestamp: delivery.OccurredAt.UTC(),
		Data: data{WebhookID: idOf(scalar.MarshalWebhookID(webhook)), Cursor: delivery.Cursor, Reason: (*string)(delivery.Reason)},
	}
	if id := delivery.ConversationID; id != nil {
		said.Data.ConversationID = new(idOf(scalar.MarshalConversationID(*id)))
	}
	if id := delivery.MessageID; id != nil {
		said.Data.MessageID = new(idOf(scalar.MarshalMessageID(*id)))
	}
	if id := delivery.UserID; id != nil {
		said.Data.UserID = new(idOf(scalar.MarshalUserID(*id)))
	}
	return said
}

// idOf is an id as the API has it.
func idOf(id graphql.Marshaler) string {
	var written bytes.Buffer
	id.MarshalGQL(&written)
	return strings.Trim(written.String(), `"`)
}

// sentence says why nobody answered, without what the receiver or the network said.
func sentence(err error) string {
	var lookup *net.DNSError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var handshake *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	var address *url.Error
	switch {
	case errors.Is(err, errPlain):
		return "Its address begins with http://, which is only for the networks that the operator of the server allows: change it to https://."
	case errors.Is(err, ssrf.ErrProhibitedIP), errors.Is(err, ssrf.ErrProhibitedNetwork), errors.Is(err, ssrf.ErrInvalidHostPort):
		return "Its address is in a network that webhooks may not reach."
	case errors.As(err, &lookup):
		return "Its name has no address."
	case errors.As(err, &handshake), errors.As(err, &authority), errors.As(err, &invalid), errors.As(err, &name):
		return "Its certificate is not good for its address."
	case errors.As(err, &timeout) && timeout.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("It did not answer within %d seconds.", int(chat.AttemptTime.Seconds()))
	case errors.As(err, &address) && address.Op == "parse":
		return "Its address can't be used."
	}
	return "It could not be connected to, or broke off."
}

// pauseAskedFor reads Retry-After: seconds or a time, as far as we wait for anybody. 0 is that nothing was asked for.
func pauseAskedFor(header string, now time.Time) time.Duration {
	if header == "" {
		return 0
	}
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return min(max(time.Duration(seconds)*time.Second, leastPause), mostPause)
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(at.Sub(now), leastPause), mostPause)
	}
	return 0
}

// Describe implements prometheus.Collector.
func (s *Sender) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(s, to) }

// Collect implements prometheus.Collector.
func (s *Sender) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s.attempts.Collect(to)
	s.latency.Collect(to)
	figures, err := s.chat.WebhookFigures(ctx)
	if err != nil {
		s.complain(ctx, err)
		return // what is not known is not there
	}
	s.backlog.Set(float64(figures.Backlog))
	s.paused.Set(float64(figures.Paused))
	s.backlog.Collect(to)
	s.paused.Collect(to)
}
