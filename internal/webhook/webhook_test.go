package webhook

import (
	"bytes"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"corridor/internal/chat"
)

func sender(networks ...string) *Sender {
	var prefixes []netip.Prefix
	for _, network := range networks {
		prefixes = append(prefixes, netip.MustParsePrefix(network))
	}
	return New(nil, NewGuard(prefixes), slog.New(slog.DiscardHandler))
}

func to(address string) *chat.WebhookBatch {
	return &chat.WebhookBatch{WebhookID: chat.WebhookID{UUID: uuid.New()}, URL: address, Secrets: [][]byte{bytes.Repeat([]byte("s"), 32)}}
}

var anEvent = chat.WebhookDelivery{
	ID: uuid.New(), Type: chat.WebhookMessageAdded, OccurredAt: time.Now(),
	ConversationID: &chat.ConversationID{UUID: uuid.New()}, MessageID: &chat.MessageID{UUID: uuid.New()},
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %#v, want %#v", what, got, want)
	}
}

// TestThePublicInternetIsReachedAndNothingElse judges addresses of every sort, as literals and as what is dialled.
func TestThePublicInternetIsReachedAndNothingElse(t *testing.T) {
	t.Parallel()
	guard, office := NewGuard(nil), NewGuard([]netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd12::/16")})
	for address, want := range map[string]string{
		"93.184.216.34": "public", "2606:2800:220:1:248:1893:25c8:1946": "public",
		"10.1.2.3": "office", "fd12::1": "office",
		"10.2.0.1": "", "172.16.0.1": "", "172.31.255.255": "", "192.168.1.1": "", // private
		"127.0.0.1": "", "127.255.255.254": "", "::1": "", "0.0.0.0": "", "::": "", "0.1.2.3": "", // this machine
		"169.254.169.254": "", "fe80::1": "", "fd00:ec2::254": "", "168.63.129.16": "", "100.100.100.200": "", // link-local, metadata
		"100.64.0.1": "", "100.127.255.255": "", // carriers
		"224.0.0.1": "", "239.1.2.3": "", "ff02::1": "", "255.255.255.255": "", "240.0.0.1": "", // many
		"192.0.2.1": "", "198.51.100.1": "", "203.0.113.1": "", "198.18.0.1": "", "2001:db8::1": "", // examples
		"::ffff:127.0.0.1": "", "::ffff:93.184.216.34": "", "::ffff:10.1.2.3": "", "::127.0.0.1": "", // IPv4 in IPv6
		"64:ff9b::127.0.0.1": "", "64:ff9b::a00:1": "", "64:ff9b:1::1": "", "2002:7f00:1::": "", "2001:0:7f00:1::": "", // NAT64, 6to4, Teredo
		"fc00::1": "", "fec0::1": "", "3fff::1": "", "5f00::1": "",
	} {
		ip := netip.MustParseAddr(address)
		check(t, address, guard.Reaches(ip), want == "public")
		check(t, address+" with an office", office.Reaches(ip), want != "")
		dialled := netip.AddrPortFrom(ip, 8443).String()
		check(t, address+" dialled", guard.public.Safe("tcp"+map[bool]string{true: "4", false: "6"}[ip.Is4()], dialled, nil) == nil, want == "public")
		check(t, address+" without TLS", office.allowed.SafeAddr(ip) == nil, want == "office")
	}
	check(t, "nothing without TLS", guard.Plain() == nil, true)
	check(t, "an office without TLS", office.Plain()(netip.MustParseAddr("10.1.2.3")), true)
	check(t, "the public Internet without TLS", office.Plain()(netip.MustParseAddr("93.184.216.34")), false)
}

// TestWithoutTLSOnlyWhatIsAllowedIsReached asks of an address that nobody has, and is told why it is not tried.
func TestWithoutTLSOnlyWhatIsAllowedIsReached(t *testing.T) {
	t.Parallel()
	s := sender("10.1.0.0/16")
	check(t, "the public Internet", s.post(t.Context(), to("http://93.184.216.34/"), anEvent).Sentence,
		"Its address begins with http://, which is only for the networks that the operator of the server allows: change it to https://.")
	check(t, "this machine", s.post(t.Context(), to("http://127.0.0.1/"), anEvent).Sentence, "Its address is in a network that webhooks may not reach.")
}

func TestANameThatMeansThisMachineIsNotReached(t *testing.T) {
	t.Parallel()
	var reached atomic.Bool
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "127.1", "2130706433", "0x7f000001"} {
		for _, scheme := range []string{"https", "http"} {
			failure := sender().post(t.Context(), to(scheme+"://"+host+":"+port+"/"), anEvent)
			if failure == nil {
				t.Fatalf("%s was reached", host)
			}
			// Some spellings are addresses to some systems, and names without an address to others.
			if failure.Sentence != "Its address is in a network that webhooks may not reach." && failure.Sentence != "Its name has no address." && failure.Sentence != "Its address can't be used." {
				t.Errorf("%s://%s: %s", scheme, host, failure.Sentence)
			}
		}
	}
	check(t, "reached", reached.Load(), false)
	check(t, "a certificate of nobody's", sender("127.0.0.0/8").post(t.Context(), to("https://localhost:"+port), anEvent).Sentence, "Its certificate is not good for its address.")
	check(t, "reached without a good certificate", reached.Load(), false)
}

// TestNothingFromTheEnvironmentComesBetween holds that there is no proxy: it would dial what we may not.
func TestNothingFromTheEnvironmentComesBetween(t *testing.T) {
	through := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer through.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, through.URL)
	}
	failure := sender("127.0.0.0/8").post(t.Context(), to("http://partner.invalid/"), anEvent)
	if failure == nil || failure.Sentence != "Its name has no address." {
		t.Errorf("got %v", failure)
	}
}

func TestWhatAReceiverAnswersDecides(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Bool
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Store(true) }))
	defer other.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Location", other.URL)
		w.Header().Set("Retry-After", r.URL.Query().Get("pause"))
		switch r.URL.Path {
		case "/200", "/flood":
		case "/202":
			w.WriteHeader(http.StatusAccepted)
		case "/302":
			w.WriteHeader(http.StatusFound)
		case "/308":
			w.WriteHeader(http.StatusPermanentRedirect)
		case "/410":
			w.WriteHeader(http.StatusGone)
		case "/429":
			w.WriteHeader(http.StatusTooManyRequests)
		case "/503":
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			w.WriteHeader(http.StatusInternalServerError)
			_, _ = io.WriteString(w, "a stack with a password in it")
		}
		if r.URL.Path == "/flood" {
			for range 1000 {
				if _, err := w.Write(make([]byte, 1<<20)); err != nil {
					return
				}
			}
			t.Error("all of a gigabyte was read")
		}
	}))
	defer server.Close()
	s := sender("127.0.0.0/8")
	for path, want := range map[string]*chat.WebhookFailure{
		"/200": nil, "/202": nil, "/flood": nil,
		"/302":              {Sentence: "It answered 302: redirects are not followed."},
		"/308":              {Sentence: "It answered 308: redirects are not followed."},
		"/410":              {Sentence: "It answered 410, that it wants nothing more.", Stops: true},
		"/429":              {Sentence: "It answered 429.", Holds: true},
		"/429?pause=30":     {Sentence: "It answered 429.", Holds: true, RetryAfter: 30 * time.Second},
		"/503":              {Sentence: "It answered 503."},
		"/503?pause=999999": {Sentence: "It answered 503.", Holds: true, RetryAfter: time.Hour},
		"/500":              {Sentence: "It answered 500."},
	} {
		failure := s.post(t.Context(), to(server.URL+path), anEvent)
		switch {
		case failure == nil || want == nil:
			check(t, path, failure, want)
		default:
			check(t, path, *failure, *want)
		}
	}
	check(t, "followed a redirect", elsewhere.Load(), false)
	server.Close()
	check(t, "nobody there", s.post(t.Context(), to(server.URL), anEvent).Sentence, "It could not be connected to, or broke off.")
}

func TestAPauseIsBounded(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "nonsense": 0, "-5": 0, "1.5": 0, "0": time.Second, "7": 7 * time.Second, "86400": time.Hour, "99999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): time.Second,
	} {
		check(t, header, pauseAskedFor(header, now), want)
	}
}

// TestDeliveriesAreSignedByTheSpecification signs the example of the specification's own tests, and lets its library
// verify what is sent.
func TestDeliveriesAreSignedByTheSpecification(t *testing.T) {
	t.Parallel()
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := signer.Sign("msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if err != nil {
		t.Fatal(err)
	}
	check(t, "the example", signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")

	batch := to("https://partner.example/corridor")
	batch.Secrets = [][]byte{bytes.Repeat([]byte("n"), 32), bytes.Repeat([]byte("o"), 32)}
	request, err := newRequest(t.Context(), batch, anEvent, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(request.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range batch.Secrets {
		verifier, err := standardwebhooks.NewWebhook("whsec_" + base64.StdEncoding.EncodeToString(secret))
		if err != nil {
			t.Fatal(err)
		}
		headers := http.Header{} // as they arrive
		for name, values := range request.Header {
			headers.Set(name, values[0])
		}
		if id := headers.Get(standardwebhooks.HeaderWebhookID); !strings.HasPrefix(id, "event_") {
			t.Errorf("the id is %s", id)
		}
		if err := verifier.Verify(said, headers); err != nil {
			t.Error(err)
		}
		if verifier.Verify(append(said, ' '), headers) == nil {
			t.Error("another body is verified")
		}
	}
}
