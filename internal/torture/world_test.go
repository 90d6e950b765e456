// Package torture attacks Corridor from outside and proves that it keeps what it promises: several
// real servers over one PostgreSQL, people who write, come and go, many who follow their streams over
// real WebSockets, and everything going wrong around them.
//
// It sleeps where time is the matter itself: a fault lasts, a network is slow, people write at a pace.
// What it waits for it asks for.
package torture

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"go.jetify.com/typeid"

	"corridor/internal/auth"
	"corridor/internal/pgtest"
)

var (
	lasting = flag.Duration("torture.for", time.Minute, "how long the storm lasts")
	rate    = flag.Int("torture.rate", 100, "how many messages are offered in a second")
	// limit is long where other tests run on the same machine.
	limit = flag.Duration("torture.within", 15*time.Second, "within what everybody must have heard everything after a fault")
)

const (
	clinic = "Torture"
	secret = "a secret of the torture, long enough to sign with"
	// patience is how long anything may take that has no limit of its own.
	patience = time.Minute
)

// binary is a server with failpoints.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "corridor-torture-")
		if err == nil {
			defer os.RemoveAll(dir)
			binary = filepath.Join(dir, "corridor")
			build := exec.Command("go", "build", "-tags", "failpoints", "-o", binary, "corridor")
			build.Stderr = os.Stderr
			err = build.Run()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// world is a clinic on several instances.
type world struct {
	t             testing.TB
	postgres      *pgtest.Server
	db            *sqlx.DB
	key           *auth.Key
	files         string
	instances     []*instance
	people        []*person
	conversations []*conversation
}

type person struct {
	id    uuid.UUID
	name  string
	token string
	// node is the id in the API.
	node string
}

// conversation has people who stay, who write in it, and in groups guests who come and go.
type conversation struct {
	id      uuid.UUID
	node    string
	members []*person
	guests  []*guest
	// start is the seq of what was last in it when everybody began to follow.
	start int64
}

type guest struct {
	*person
	mu sync.Mutex
	in bool
}

// settings are how a world is made.
type settings struct {
	people, groups, directs int
	// instances are three if they are 0.
	instances int
	// environment is set for the servers.
	environment []string
}

const (
	groupSize   = 4
	groupGuests = 3
)

func newWorld(t testing.TB, s settings) *world {
	t.Helper()
	w := &world{t: t, files: t.TempDir(), postgres: pgtest.NewServer(t, map[string]string{"autovacuum": "on", "autovacuum_naptime": "2s"})}
	w.db = w.postgres.Open()
	w.db.SetMaxOpenConns(8)
	var err error
	if w.key, err = auth.NewKey([]byte(secret)); err != nil {
		t.Fatal(err)
	}
	w.enrols(s.people)
	if s.instances == 0 {
		s.instances = 3
	}
	for range s.instances {
		w.instances = append(w.instances, newInstance(t, append([]string{
			"DATABASE_URL=" + w.postgres.URL, "CORRIDOR_TOKEN_KEY=" + secret, "CORRIDOR_LOG_LEVEL=error", "CORRIDOR_DEMO=false",
			"CORRIDOR_DRAIN_TIME=5s", "CORRIDOR_FILES=" + w.files, "CORRIDOR_PERSON_BUDGET=1000000", // which people here are faster than
		}, s.environment...)))
	}
	for _, i := range w.instances {
		i.starts()
	}
	for _, i := range w.instances {
		i.waits()
	}
	random := rand.New(rand.NewPCG(1, 1))
	for i := range s.groups {
		crowd := w.some(random, groupSize+groupGuests)
		c := &conversation{members: crowd[:groupSize]}
		var ids []string
		for _, p := range c.members[1:] {
			ids = append(ids, p.node)
		}
		for _, p := range crowd[groupSize:] {
			c.guests = append(c.guests, &guest{person: p})
		}
		w.opens(c, "createGroup", vars{"name": fmt.Sprint("Case ", i), "userIds": ids}, "group")
	}
	for range s.directs {
		pair := w.some(random, 2)
		w.opens(&conversation{members: pair}, "startDirectConversation", vars{"userId": pair[1].node}, "conversation")
	}
	return w
}

// enrols imports people who share a room.
func (w *world) enrols(n int) {
	w.t.Helper()
	var roster strings.Builder
	roster.WriteString("email,name,role,waiting_rooms\n")
	for i := range n {
		fmt.Fprintf(&roster, "p%03d@torture.example,P%03d,CSR,Desk\n", i, i)
	}
	command := exec.Command(binary, "roster", "import", "-", "--clinic", clinic)
	command.Env = append(os.Environ(), "DATABASE_URL="+w.postgres.URL)
	command.Stdin = strings.NewReader(roster.String())
	if said, err := command.CombinedOutput(); err != nil {
		w.t.Fatalf("%v: %s", err, said)
	}
	rows := []struct {
		ID   uuid.UUID
		Name string
	}{}
	if err := w.db.Select(&rows, `SELECT id, name FROM users ORDER BY name`); err != nil {
		w.t.Fatal(err)
	}
	for _, row := range rows {
		token, err := w.key.Mint(row.ID, 2*time.Hour)
		if err != nil {
			w.t.Fatal(err)
		}
		node, err := typeid.FromUUIDBytesWithPrefix("user", row.ID[:])
		if err != nil {
			w.t.Fatal(err)
		}
		w.people = append(w.people, &person{id: row.ID, name: row.Name, token: token, node: node.String()})
	}
}

func (w *world) some(random *rand.Rand, n int) (some []*person) {
	for _, i := range random.Perm(len(w.people))[:n] {
		some = append(some, w.people[i])
	}
	return some
}

// opens makes a conversation.
func (w *world) opens(c *conversation, mutation string, input vars, field string) {
	w.t.Helper()
	input["clientKey"] = uuid.NewString()
	var payload struct{ Made struct{ ID string } }
	answer, err := w.instances[0].mutates(w.t.Context(), c.members[0], mutation, input, "made: "+field+" { id }")
	if err == nil {
		err = json.Unmarshal(answer, &payload)
	}
	if err != nil {
		w.t.Fatalf("%s: %v", mutation, err)
	}
	c.node = payload.Made.ID
	id, err := typeid.FromString(c.node)
	if err == nil {
		c.id, err = uuid.Parse(id.UUID())
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.conversations = append(w.conversations, c)
}

// instance is a server that is killed and comes back at the same address, behind a network that
// fails.
type instance struct {
	t       testing.TB
	address string
	proxy   *proxy
	command *exec.Cmd
	env     []string
	output  *bytes.Buffer
	client  *http.Client
}

func newInstance(t testing.TB, env []string) *instance {
	t.Helper()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	i := &instance{
		t: t, address: address, proxy: newProxy(t, address), output: &bytes.Buffer{},
		client: &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	i.env = append(append(os.Environ(), env...), "CORRIDOR_LISTEN="+address)
	t.Cleanup(func() {
		i.kills()
		i.client.CloseIdleConnections()
		if t.Failed() && i.output.Len() > 0 {
			said := i.output.String()
			t.Logf("the server at %s said %s", address, said[:min(len(said), 1000)])
		}
	})
	return i
}

func (i *instance) starts() {
	i.t.Helper()
	i.command = exec.Command(binary)
	i.command.Env = i.env
	i.command.Stderr = i.output
	if err := i.command.Start(); err != nil {
		i.t.Fatal(err)
	}
}

// waits returns when the instance is ready.
func (i *instance) waits() {
	i.t.Helper()
	eventually(i.t, patience, "the server at "+i.address+" is ready", func() bool {
		response, err := i.client.Get("http://" + i.address + "/readyz")
		if err != nil {
			return false
		}
		response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// eventually asks again and again: what it waits for is in another process, which tells nobody.
func eventually(t testing.TB, within time.Duration, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(within); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

func (i *instance) kills() { i.ends(syscall.SIGKILL) }

// ends sends a signal and waits for the end.
func (i *instance) ends(signal syscall.Signal) {
	if i.command == nil {
		return
	}
	_ = i.command.Process.Signal(signal) // it may have ended
	_ = i.command.Wait()                 // by the signal
	i.command = nil
}

type vars map[string]any

var errRefused = errors.New("refused")

// mutates does something for a person and returns the payload.
func (i *instance) mutates(ctx context.Context, p *person, mutation string, input vars, selection string) (json.RawMessage, error) {
	document := fmt.Sprintf(`mutation ($input: %s%sInput!) { %s(input: $input) { userErrors { code } %s } }`,
		strings.ToUpper(mutation[:1]), mutation[1:], mutation, selection)
	body, err := json.Marshal(vars{"query": document, "variables": vars{"input": input}})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+i.proxy.address()+"/graphql", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{"Content-Type": {"application/json"}, "Authorization": {"Bearer " + p.token}}
	response, err := i.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Data   map[string]json.RawMessage
		Errors []struct{ Message string }
	}
	said, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(said, &answer); err != nil || response.StatusCode != http.StatusOK || len(answer.Errors) > 0 {
		return nil, fmt.Errorf("%s: %d %s", mutation, response.StatusCode, said)
	}
	var payload struct{ UserErrors []struct{ Code string } }
	if err := json.Unmarshal(answer.Data[mutation], &payload); err != nil || len(payload.UserErrors) > 0 {
		return nil, fmt.Errorf("%s: %w: %v", mutation, errRefused, payload.UserErrors)
	}
	return answer.Data[mutation], nil
}

// insists does something on any instance, again and again with one key, until it is acknowledged or
// refused.
func (w *world) insists(ctx context.Context, p *person, mutation string, input vars, selection string, retries *atomic.Int64) (json.RawMessage, error) {
	input["clientKey"] = uuid.NewString()
	for {
		payload, err := w.instances[rand.N(len(w.instances))].mutates(ctx, p, mutation, input, selection)
		if err == nil || errors.Is(err, errRefused) || ctx.Err() != nil {
			return payload, err
		}
		retries.Add(1)
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(rand.N(100 * time.Millisecond)):
		}
	}
}
