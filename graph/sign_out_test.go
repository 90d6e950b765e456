package graph_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket/wsjson"

	"corridor/internal/oidctest"
	"corridor/internal/pgtest"
	"corridor/internal/transfer"
)

// withToken is the same person with another device.
func (p *person) withToken(token string, at *instance) *person {
	other := *p
	other.token, other.at = token, at
	return &other
}

// isOut tells whether the person is let in no more: not over HTTP, nor where files are, nor with a socket.
func (p *person) isOut() bool {
	p.world.t.Helper()
	request := p.asks(`{ viewer { name } }`, nil)
	if request.code() == "" {
		return false
	}
	file := p.downloads("/files/01890a5d-ac96-774b-bcce-b302099a8057/content/owner/1/x")
	socket := p.subscribes(p.token, eventsDocument, nil)
	socket.ends()
	check(p.world.t, "out", fmt.Sprint(request.status, request.code(), file.status, file.code(), int(socket.closed.Code)), "401UNAUTHENTICATED401UNAUTHENTICATED4403")
	return true
}

func TestE35WhoSignsOutIsCutOffOnThisDeviceAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.instance()
	ann := w.people("Front desk", "Ann Lee", "Bob Roy")[0]
	here, elsewhere := ann, ann.withToken(w.tokenFor(ann.userID.UUID, time.Hour), second)
	streams := []*stream{here.follows(), here.withToken(here.token, second).follows(), here.subscribesBySSE(here.token, eventsDocument, nil)}
	other := elsewhere.follows()
	begun := time.Now()

	at := here.did("signOut", vars{}, "signedOutAt").text("signedOutAt")

	for _, stream := range streams {
		stream.ends()
		if stream.conn != nil {
			check(t, "closed with", int(stream.closed.Code), 4403)
		}
		check(t, "looks complete", stream.complete, false)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	check(t, "here", here.isOut(), true)
	check(t, "at another instance", here.withToken(here.token, second).isOut(), true)
	check(t, "elsewhere", elsewhere.isOut(), false)
	elsewhere.sends(elsewhere.group("Case", w.clinics[home]["bob.roy@lakeside.example"]), "still here")
	for heard := ""; heard != "Ann Lee: still here"; heard = other.hears() {
	}
	if signedOut, err := time.Parse(time.RFC3339, at); err != nil || time.Since(signedOut).Abs() > time.Minute {
		t.Errorf("signed out at %q", at)
	}
}

func TestE35WhoSignsOutEverywhereIsCutOffOnAllDevices(t *testing.T) {
	t.Parallel()
	provider := oidctest.Start(t)
	w := newWorldOf(t, provider)
	second := w.instance()
	ann := w.people("Front desk", "Ann Lee", "Bob Roy")[0]
	devices := []*person{
		ann, ann.withToken(w.tokenFor(ann.userID.UUID, time.Hour), second), ann.withToken(provider.SignIn(ann.email, nil).Access, second),
		ann.withToken(provider.SignIn(ann.email, nil).ID, w.instances[0]),
	}
	var streams []*stream
	for _, device := range devices {
		streams = append(streams, device.follows(), device.subscribes(device.token, `subscription { groupDeleted { conversationId } }`, nil))
	}
	begun := time.Now()

	devices[2].did("signOut", vars{"everywhere": true}, "")

	for _, stream := range streams {
		stream.ends()
		check(t, "closed with", int(stream.closed.Code), 4403)
	}
	if took := time.Since(begun); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	for i, device := range devices {
		check(t, fmt.Sprint("device ", i), device.isOut(), true)
	}
	w.eventually("a token that is issued later is good", func() bool {
		ours, theirs := w.tokenFor(ann.userID.UUID, time.Hour), provider.SignIn(ann.email, nil).Access
		return ann.withToken(ours, second).asks(`{ viewer { name } }`, nil).code() == "" && ann.withToken(theirs, second).asks(`{ viewer { name } }`, nil).code() == ""
	})
}

func TestE35AnOperatorEndsThePersonsSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.instance()
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	idle, bobs := ann.subscribes(ann.token, `subscription { groupDeleted { conversationId } }`, nil), bob.follows()
	user, err := second.chat.FindUser(t.Context(), ann.email, "")
	if err != nil {
		t.Fatal(err)
	}

	if _, err := second.chat.EndSessions(t.Context(), user); err != nil {
		t.Fatal(err)
	}

	idle.ends()
	check(t, "closed with", int(idle.closed.Code), 4403)
	check(t, "ann", ann.isOut(), true)
	check(t, "bob", bob.isOut(), false)
	select {
	case <-bobs.ended:
		t.Error("bob's stream ended")
	default:
	}
}

func TestE35AnUploadThatIsUnderWayEndsWithTheSession(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) {
		w.patience = transfer.DefaultPatience
		w.patience.Sight = time.Nanosecond // it is asked again for each piece
	})
	ann := w.people("Desk", "Ann", "Bob")[0]
	again := ann.withToken(w.tokenFor(ann.userID.UUID, time.Hour), ann.at)
	_, url := ann.announces("report.txt", "text/plain", 3<<20)
	body, sender := io.Pipe()
	answer := make(chan answered)
	go func() {
		answer <- ann.transfers(http.MethodPatch, url, body, "Tus-Resumable", "1.0.0", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream")
	}()
	_, _ = sender.Write(make([]byte, 1<<20+100))
	w.eventually("a piece is safe", func() bool { return again.isAt(url) >= 1<<20 })

	ann.did("signOut", vars{}, "")
	go func() {
		_, _ = sender.Write(make([]byte, 2<<20-100))
		sender.Close()
	}()

	got := <-answer
	check(t, "answered with", fmt.Sprint(got.status, got.code(), got.header.Get("WWW-Authenticate")), `401UNAUTHENTICATEDBearer realm="corridor"`)
	check(t, "of what came later", again.isAt(url) <= 1<<20+100, true)
}

// Tokens that are made while all sessions are ended are good or refused, but those from before are refused at once.
func TestE35SigningOutRacesWithEverythingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	second := w.instance()
	ann := w.people("Front desk", "Ann Lee", "Bob Roy")[0]
	var mu sync.Mutex
	old := []*person{ann}
	for i := range 20 {
		old = append(old, ann.withToken(w.tokenFor(ann.userID.UUID, time.Hour), w.instances[i%2]))
	}
	var all sync.WaitGroup
	var codes []string
	for i, device := range old {
		all.Go(func() {
			device.asks(`{ viewer { name } }`, nil)
			got := device.asks(`mutation ($key: String!, $all: Boolean!) { signOut(input: {clientKey: $key, everywhere: $all}) { userErrors { code } } }`,
				vars{"key": newKey(), "all": i%2 == 0})
			mu.Lock()
			defer mu.Unlock()
			codes = append(codes, got.code())
		})
	}

	all.Wait()

	if !slices.Contains(codes, "") || slices.ContainsFunc(codes, func(code string) bool { return code != "" && code != "UNAUTHENTICATED" }) {
		t.Errorf("the answers are %v", codes)
	}
	for _, device := range old {
		check(t, "an old token", device.withToken(device.token, second).asks(`{ viewer { name } }`, nil).code(), "UNAUTHENTICATED")
	}
}

func TestE35ASocketThatAsksForNothingEndsWithItsSession(t *testing.T) {
	t.Parallel()
	for _, everywhere := range []bool{true, false} {
		t.Run(fmt.Sprint("everywhere ", everywhere), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			second := w.instance()
			people := w.people("Front desk", "Ann Lee", "Bob Roy")
			ann, bob := people[0], people[1]
			var sockets []*stream
			for _, p := range []*person{ann, bob} {
				idle := p.withToken(p.token, second).subscribes(p.token, `subscription { groupDeleted { conversationId } }`, nil)
				if err := wsjson.Write(t.Context(), idle.conn, vars{"type": "complete", "id": "1"}); err != nil {
					t.Fatal(err)
				}
				sockets = append(sockets, idle)
			}
			bob.isDismissed()
			sockets[1].ends() // so there was a sweep, and Ann has asked for nothing since
			begun := time.Now()

			ann.did("signOut", vars{"everywhere": everywhere}, "")

			sockets[0].ends()
			check(t, "closed with", int(sockets[0].closed.Code), 4403)
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("it took %s", took)
			}
		})
	}
}

// acts does something once, when something is written to it.
type acts struct {
	*httptest.ResponseRecorder
	what sync.Once
	act  func()
}

func (a *acts) Write(from []byte) (int, error) {
	a.what.Do(a.act)
	return a.ResponseRecorder.Write(from)
}

func TestE35ADownloadOfTheDirectoryEndsWithTheSessionOrTheKey(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) {
		w.patience = transfer.DefaultPatience
		w.patience.Sight = time.Nanosecond // it is asked again for each piece
	})
	grace := w.enrol(home, "Grace Hall", "Manager", "Desk")
	for i := range 600 {
		email := fmt.Sprintf("p%d.%s@lakeside.example", i, strings.Repeat("x", 60))
		w.clinics[home][email] = &person{email: email, name: strings.Repeat("P", 60), role: "MA", rooms: []string{"Desk"}, id: "known"}
	}
	w.importRoster(home)
	grace.administers()
	partner := grace.gives(grace.serviceAccount("Directory"), "CONTACTS_READ")

	check(t, "a key is revoked", partner.isCutOffBy(func() { grace.did("revokePartnerKey", vars{"keyId": partner.key}, "") }), true)
	check(t, "somebody looks on", grace.isCutOffBy(func() { grace.sees(`{ viewer { name } }`, nil) }), false)
	check(t, "somebody signs out", grace.isCutOffBy(func() { grace.did("signOut", vars{}, "") }), true)
}

func TestE35ADownloadThatWaitsForItsTurnIsRefusedWhenItsKeyIsRevoked(t *testing.T) {
	t.Parallel()
	w := newWorldIn(t, pgtest.New(t), nil, func(w *world) {
		w.patience = transfer.DefaultPatience
		w.patience.Sight = time.Nanosecond // it is asked again for each piece
	})
	grace := w.person("Grace Hall", "Desk").administers()
	partner := grace.gives(grace.serviceAccount("Directory"), "CONTACTS_READ")
	var free []func()
	for range max(1, runtime.GOMAXPROCS(0)/2) {
		ctx, work := grace.at.courtesy.Begin(t.Context())
		done, err := work.Piece(ctx)
		if err != nil {
			t.Fatal(err)
		}
		free = append(free, done)
	}

	answer := make(chan string)
	go func() {
		status, _, body := partner.exports("staff.csv")
		answer <- fmt.Sprint(status, body)
	}()
	w.eventually("it is let in", func() bool {
		used := grace.sees(`{ viewer { clinic { partnerKeys { nodes { lastUsedAt } } } } }`, nil)
		return used.text("viewer.clinic.partnerKeys.nodes.0.lastUsedAt") != ""
	})
	grace.did("revokePartnerKey", vars{"keyId": partner.key}, "")
	for _, done := range free {
		done()
	}

	check(t, "it hears what all hear who are not signed in", <-answer,
		`401{"errors":[{"message":"Sign in first: send a valid token as Authorization: Bearer.","extensions":{"code":"UNAUTHENTICATED"}}]}`+"\n")
}

// isCutOffBy tells whether a download of the directory breaks off when something is done while it is under way.
func (p *person) isCutOffBy(what func()) (cutOff bool) {
	p.world.t.Helper()
	request := httptest.NewRequestWithContext(p.world.t.Context(), http.MethodGet, "/directory/staff.csv", nil)
	request.Header.Set("Authorization", "Bearer "+p.token)
	to := &acts{ResponseRecorder: httptest.NewRecorder(), act: what}
	defer func() {
		panicked := recover()
		cutOff = panicked == http.ErrAbortHandler //nolint:errorlint // it is thrown as it is
		if panicked != nil && !cutOff || to.Code != http.StatusOK {
			p.world.t.Errorf("%s: the download ended with %d, %v", p.name, to.Code, panicked)
		}
	}()
	p.at.all.ServeHTTP(to, request)
	return false
}
