package graph_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// directory is a clinic with an administrator and a partner who may read who works there.
func directory(t *testing.T) (w *world, grace *person, partner *partner) {
	t.Helper()
	w = newWorld(t)
	grace = w.person("Grace Hall", "Desk").administers()
	return w, grace, grace.gives(grace.serviceAccount("Directory"), "CONTACTS_READ")
}

// copyOf is a partner's copy of a list: names by id, and where its changes go on.
type copyOf struct {
	names  map[string]string
	cursor string
}

// list names one of the lists that partners read.
type list struct{ of, id string }

// reads reads a list whole, in pages.
func (p *partner) readsList(of list, size int) copyOf {
	p.world.t.Helper()
	made := copyOf{names: map[string]string{}}
	after := any(nil)
	for {
		const page = `(first: $first, after: $after) { nodes { id name email } pageInfo { hasNextPage endCursor } changesCursor }`
		document, path := `query ($first: Int!, $after: Cursor) { directory { staff`+page+` } }`, "directory.staff"
		variables := vars{"first": size, "after": after}
		switch of.of {
		case "contacts":
			document, path = `query ($id: ID!, $first: Int!, $after: Cursor) { directory { staffMember(id: $id) { contacts`+page+` } } }`, "directory.staffMember.contacts"
			variables["id"] = of.id
		case "room":
			document, path = `query ($id: ID!, $first: Int!, $after: Cursor) { directory { waitingRoom(id: $id) { members`+page+` } } }`, "directory.waitingRoom.members"
			variables["id"] = of.id
		}
		found := p.sees(document, variables).at(path)
		for _, user := range found.list("nodes") {
			made.names[user.text("id")] = user.text("name") + " " + user.text("email")
		}
		if made.cursor == "" {
			made.cursor = found.text("changesCursor")
		}
		if !found.yes("pageInfo.hasNextPage") {
			return made
		}
		after = found.text("pageInfo.endCursor")
	}
}

// catchesUp applies to a copy what became of its list, and says what that was.
func (p *partner) catchesUp(c *copyOf, size int) string {
	p.world.t.Helper()
	var heard []string
	for more := true; more; {
		found := p.sees(`query ($after: Cursor!, $first: Int!) { directory { changes(after: $after, first: $first) {
			nodes { kind userId user { name email } cursor } pageInfo { hasNextPage endCursor } } } }`, vars{"after": c.cursor, "first": size}).at("directory.changes")
		for _, change := range found.list("nodes") {
			id, name := change.text("userId"), change.text("user.name")
			if change.text("kind") == "REMOVED" {
				if known := c.names[id]; name == "" && known != "" {
					name = c.names[id][:strings.LastIndex(c.names[id], " ")]
				}
				delete(c.names, id)
			} else {
				c.names[id] = name + " " + change.text("user.email")
			}
			heard = append(heard, change.text("kind")+" "+name)
		}
		if end := found.text("pageInfo.endCursor"); end != "" {
			c.cursor = end
		}
		more = found.yes("pageInfo.hasNextPage")
	}
	slices.Sort(heard)
	return strings.Join(heard, ", ")
}

func (c copyOf) people() string {
	return strings.Join(slices.Sorted(maps.Values(c.names)), ", ")
}

func TestAPartnerKeepsACopyOfAPersonsContacts(t *testing.T) {
	t.Parallel()
	w, _, partner := directory(t)
	people := map[string]*person{}
	for name, rooms := range map[string][]string{"Ann Lee": {"Desk"}, "Bob Roy": {"Desk", "Lab"}, "Cai Wu": {"Lab"}, "Dee Fox": {"Lab"}} {
		people[name] = w.enrol(home, name, "MA", rooms...)
	}
	w.enrol(home, "Pat Ill", "Patient", "Desk", "Lab")
	w.importRoster(home)
	contacts := partner.readsList(list{"contacts", people["Ann Lee"].id}, 2)
	check(t, "at first", contacts.people(), "Bob Roy bob.roy@lakeside.example, Grace Hall grace.hall@lakeside.example")

	people["Ann Lee"].moves("Lab")
	check(t, "when she moves", partner.catchesUp(&contacts, 1), "ADDED Cai Wu, ADDED Dee Fox, REMOVED Grace Hall")
	people["Cai Wu"].moves("Lab", "Ward")
	check(t, "when a contact moves", partner.catchesUp(&contacts, 10), "CHANGED Cai Wu")
	people["Dee Fox"].moves("Desk")
	people["Bob Roy"].moves("Desk")
	people["Bob Roy"].moves("Lab")
	check(t, "who went and came back", partner.catchesUp(&contacts, 10), "CHANGED Bob Roy, REMOVED Dee Fox")
	people["Bob Roy"].isDismissed()
	w.enrol(home, "Eva Poe", "MA", "Lab")
	w.importRoster(home)
	check(t, "who goes and who comes", partner.catchesUp(&contacts, 1), "ADDED Eva Poe, REMOVED Bob Roy")
	check(t, "and nothing else", partner.catchesUp(&contacts, 10), "")
	check(t, "in the end", contacts.people(), partner.readsList(list{"contacts", people["Ann Lee"].id}, 500).people())
}

// TestCopiesThatCatchUpAreWhatIsReadAnew moves people about at random: a copy that applies changes now and then, in pages of any size, is
// the list.
func TestCopiesThatCatchUpAreWhatIsReadAnew(t *testing.T) {
	t.Parallel()
	w, grace, partner := directory(t)
	random := rand.New(rand.NewPCG(7, 7))
	rooms := []string{"Desk", "Lab", "Ward", "Yard"}
	var people []*person
	for _, name := range []string{"Ann", "Bob", "Cai", "Dee", "Eva", "Fay", "Gil", "Hal"} {
		people = append(people, w.enrol(home, name, "MA", rooms[random.IntN(4)]))
	}
	grace.rooms = rooms // so that all rooms stay open
	w.importRoster(home)
	lists := []list{{"staff", ""}, {"contacts", grace.id}, {"contacts", people[0].id}, {"contacts", people[1].id}}
	for _, name := range rooms {
		lists = append(lists, list{"room", grace.room(name)})
	}
	copies := make([]copyOf, len(lists))
	for i := range lists {
		copies[i] = partner.readsList(lists[i], 3)
	}
	for round := range 25 {
		for range 1 + random.IntN(3) {
			who := people[random.IntN(len(people))]
			switch random.IntN(8) {
			case 0:
				who.name = strings.Fields(who.name)[0] + fmt.Sprint(" ", round)
			case 1:
				if who != people[0] && who != people[1] {
					if _, there := w.clinics[home][who.email]; there {
						delete(w.clinics[home], who.email)
					} else {
						w.clinics[home][who.email] = who
					}
				}
			case 2:
				if who.role = "MA"; random.IntN(2) == 0 && who != people[0] && who != people[1] {
					who.role = "Patient"
				}
			default:
				who.rooms = nil
				for _, room := range rooms {
					if random.IntN(2) == 0 {
						who.rooms = append(who.rooms, room)
					}
				}
			}
			w.importRoster(home)
		}
		for i := range lists {
			if random.IntN(3) == 0 {
				continue // not this time
			}
			partner.catchesUp(&copies[i], 1+random.IntN(4))
			if got, want := copies[i].people(), partner.readsList(lists[i], 500).people(); got != want {
				t.Fatalf("round %d, %v:\n%s\nis not\n%s", round, lists[i], got, want)
			}
		}
	}
}

func TestPagesOfTheStaffAreStable(t *testing.T) {
	t.Parallel()
	w, _, partner := directory(t)
	people := w.people("Desk", "Ann Lee", "Bob Roy", "Cai Wu", "Dee Fox")
	first := partner.sees(`{ directory { staff(first: 3) { nodes { id } pageInfo { endCursor } } } }`, nil)

	people[0].name, people[3].name = "Zoe Lee", "Abe Fox"
	w.importRoster(home)

	rest := partner.sees(`query ($after: Cursor) { directory { staff(first: 3, after: $after) { nodes { id } pageInfo { hasNextPage } } } }`, vars{"after": first.text("directory.staff.pageInfo.endCursor")})
	seen := strings.Split(first.texts("directory.staff.nodes", "id")+", "+rest.texts("directory.staff.nodes", "id"), ", ")
	slices.Sort(seen)
	check(t, "each once", len(slices.Compact(seen)), 6)
	check(t, "no more", rest.yes("directory.staff.pageInfo.hasNextPage"), false)
}

func TestTheDirectoryIsFollowedLiveAndResumed(t *testing.T) {
	t.Parallel()
	w, _, partner := directory(t)
	people := w.people("Desk", "Ann Lee", "Bob Roy")
	const document = `subscription ($after: Cursor) { staffChanged(after: $after) { kind user { name waitingRooms { nodes { name } } } cursor } }`
	hears := func(s *stream) string {
		change := s.next("staffChanged")
		s.cursor = change.text("cursor")
		return change.text("kind") + " " + change.text("user.name") + " " + change.texts("user.waitingRooms.nodes", "name")
	}
	cursor := partner.readsList(list{of: "staff"}, 500).cursor
	live := partner.subscribes(partner.token, document, vars{"after": cursor})

	people[0].moves("Lab")
	check(t, "a move", hears(live), "CHANGED Ann Lee Lab")
	w.person("Cai Wu", "Desk")
	check(t, "somebody new", hears(live), "ADDED Cai Wu Desk")
	live.drops()
	people[1].isDismissed()
	second := w.instance()
	partner.at = second
	resumed := partner.subscribesBySSE(partner.token, document, vars{"after": live.cursor})
	check(t, "meanwhile", hears(resumed), "REMOVED  ")
	people[0].moves("Desk")
	check(t, "and on, on another instance", hears(resumed), "CHANGED Ann Lee Desk")
}

func TestWhoMayNotReadTheDirectoryFindsNone(t *testing.T) {
	t.Parallel()
	w, grace, partner := directory(t)
	ann := w.person("Ann Lee", "Desk")
	zoe := w.personOf("Hillside", "Zoe Kay", "MA", "Desk").administers()
	writer := grace.gives(grace.serviceAccount("Writer"), "ROSTER_WRITE", "CONVERSATIONS_READ")
	for _, who := range []*person{ann, writer.person} {
		check(t, who.name, who.asks(`{ directory { staff { nodes { id } } } }`, nil).code(), "GRAPHQL_VALIDATION_FAILED")
		check(t, who.name, who.asks(`{ viewer { user { email } } }`, nil).code(), "GRAPHQL_VALIDATION_FAILED")
	}
	// Of another clinic there is nothing, by id, e-mail address, cursor or room.
	check(t, "by id", zoe.sees(`{ directory { staffMember(id: "`+ann.id+`") { id } } }`, nil).text("directory.staffMember"), "")
	check(t, "by address", zoe.sees(`{ directory { staffMember(email: "`+ann.email+`") { id } } }`, nil).text("directory.staffMember"), "")
	check(t, "by room", zoe.sees(`{ directory { waitingRoom(id: "`+ann.room("Desk")+`") { id } } }`, nil).text("directory.waitingRoom"), "")
	check(t, "by cursor", zoe.asks(`query ($after: Cursor!) { directory { changes(after: $after) { nodes { userId } } } }`, vars{"after": partner.readsList(list{of: "staff"}, 5).cursor}).code(), "CURSOR_INVALID")
	check(t, "theirs", zoe.sees(`{ directory { staff { nodes { name } } waitingRooms { nodes { name members { nodes { name } } } } } }`, nil).text("directory.waitingRooms.nodes.0.members.nodes.0.name"), "Zoe Kay")
	check(t, "an administrator's", grace.sees(`{ directory { staffMember(email: "ANN.LEE@lakeside.example") { name email } } }`, nil).text("directory.staffMember.email"), ann.email)
	check(t, "neither", grace.asks(`{ directory { staffMember { id } } }`, nil).code(), "INVALID")
	check(t, "too many", partner.asks(`{ directory { staff(first: 501) { nodes { id } } } }`, nil).code(), "INVALID")
	for _, address := range []string{"staff.csv", "users/" + ann.id + "/contacts.csv", "waiting-rooms/" + ann.room("Desk") + "/members.jsonl", "nothing.csv"} {
		for _, who := range []*person{ann, writer.person} {
			status, _, body := who.exports(address)
			check(t, who.name+" "+address, fmt.Sprint(status)+body, `404{"errors":[{"message":"There is no such list.","extensions":{"code":"NOT_FOUND"}}]}`+"\n")
		}
	}
	for _, address := range []string{"users/" + ann.id + "/contacts.csv", "users/nobody/contacts.csv", "waiting-rooms/" + ann.room("Desk") + "/members.csv", "staff.xlsx", "users/" + zoe.id + "/members.csv"} {
		status, _, body := zoe.exports(address)
		check(t, "zoe "+address, fmt.Sprint(status)+body, `404{"errors":[{"message":"There is no such list.","extensions":{"code":"NOT_FOUND"}}]}`+"\n")
	}
}

// exports fetches a list of the directory.
func (p *person) exports(address string) (status int, header http.Header, body string) {
	p.world.t.Helper()
	request, err := http.NewRequest(http.MethodGet, p.at.server.URL+"/directory/"+address, nil)
	if err != nil {
		p.world.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+p.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.world.t.Fatal(err)
	}
	defer response.Body.Close()
	read, err := io.ReadAll(response.Body)
	if err != nil {
		p.world.t.Fatal(err)
	}
	return response.StatusCode, response.Header, string(read)
}

func TestAListIsDownloadedAsCSVAndAsLinesOfJSON(t *testing.T) {
	t.Parallel()
	w, _, partner := directory(t)
	ann := w.enrol(home, `Ann "Lee"; Dr, MD`, "Physician", "Desk", "Lab")
	w.enrol(home, "Bob Roy", "MA", "Lab")
	w.importRoster(home)

	_, header, text := partner.exports("staff.csv")
	check(t, "type", header.Get("Content-Type")+" "+header.Get("Content-Disposition")+" "+header.Get("Cache-Control"), `text/csv; charset=utf-8; header=present attachment; filename="staff.csv" private, no-store`)
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	check(t, "header", strings.Join(rows[0], " "), "id email name role kind waiting_rooms")
	for _, row := range rows[1:] {
		if row[0] == ann.id {
			check(t, "Ann", strings.Join(row[1:], "|"), ann.email+`|Ann "Lee"; Dr, MD|Physician|PROVIDER|Desk;Lab`)
		}
	}
	check(t, "people", len(rows)-1, 4)

	_, header, text = partner.exports("users/" + ann.id + "/contacts.jsonl")
	check(t, "type", header.Get("Content-Type"), "application/jsonl; charset=utf-8")
	var names []string
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		var read struct {
			Name         string
			WaitingRooms []struct{ ID, Name string }
		}
		if err := json.Unmarshal([]byte(line), &read); err != nil {
			t.Fatal(err)
		}
		names = append(names, read.Name+" in "+read.WaitingRooms[0].Name)
	}
	slices.Sort(names)
	check(t, "contacts", strings.Join(names, ", "), "Bob Roy in Lab, Grace Hall in Desk")
	_, _, text = partner.exports("waiting-rooms/" + partner.sees(`{ directory { waitingRooms { nodes { id } } } }`, nil).text("directory.waitingRooms.nodes.0.id") + "/members.csv")
	check(t, "members", strings.Count(text, "\n"), 3)
	status, _, _ := (&person{world: w, at: partner.at, token: "garbage"}).exports("staff.csv")
	check(t, "a stranger", status, http.StatusUnauthorized)
}

func TestTheWaitingRoomsOfAClinicAreDownloaded(t *testing.T) {
	t.Parallel()
	w, grace, partner := directory(t)
	w.person("Ann Lee", "Desk", `X-ray, "old"`)
	w.personOf("Hillside", "Zoe Kay", "MA", "Theirs")
	closed := w.person("Bob Roy", "Closed")
	closed.moves("Desk")

	_, header, text := partner.exports("waiting-rooms.csv")

	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var written []string
	for _, row := range rows {
		written = append(written, strings.Join(row, " "))
	}
	slices.Sort(written)
	want := []string{"id name"}
	for _, room := range partner.sees(`{ directory { waitingRooms { nodes { id name } } } }`, nil).list("directory.waitingRooms.nodes") {
		want = append(want, room.text("id")+" "+room.text("name"))
	}
	slices.Sort(want)
	check(t, "rows", strings.Join(written, "\n"), strings.Join(want, "\n"))
	check(t, "there are changes of people alone", header.Get("Changes-Cursor"), "")
	_, header, text = grace.exports("waiting-rooms.jsonl")
	check(t, "type", header.Get("Content-Type")+" "+header.Get("Content-Disposition"), `application/jsonl; charset=utf-8 attachment; filename="waiting-rooms.jsonl"`)
	var names []string
	for decoder := json.NewDecoder(strings.NewReader(text)); decoder.More(); {
		var room struct{ ID, Name string }
		if err := decoder.Decode(&room); err != nil {
			t.Fatal(err)
		}
		names = append(names, room.Name)
	}
	check(t, "an administrator's", len(names), len(want)-1)
}

// TestManyWaitingRoomsAreDownloadedWhole has more than are read at a time.
func TestManyWaitingRoomsAreDownloadedWhole(t *testing.T) {
	t.Parallel()
	w, _, partner := directory(t)
	rooms := []string{"Desk"}
	for i := range 1100 {
		rooms = append(rooms, fmt.Sprint("Room ", i))
	}
	w.person("Ann Lee", rooms...)

	_, _, text := partner.exports("waiting-rooms.csv")

	seen := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		seen[line] = true
	}
	check(t, "lines", strings.Count(text, "\n"), len(rooms)+1)
	check(t, "each once", len(seen), len(rooms)+1)
}

// downloads is a copy of a list that was downloaded.
func (p *partner) downloads(address string) copyOf {
	p.world.t.Helper()
	_, header, text := p.exports(address)
	made := copyOf{names: map[string]string{}, cursor: header.Get("Changes-Cursor")}
	for decoder := json.NewDecoder(strings.NewReader(text)); decoder.More(); {
		var person struct{ ID, Name, Email string }
		if err := decoder.Decode(&person); err != nil {
			p.world.t.Fatal(err)
		}
		made.names[person.ID] = person.Name + " " + person.Email
	}
	return made
}

// TestACursorIsOfOneList gives cursors to other lists, where they would leave out people.
func TestACursorIsOfOneList(t *testing.T) {
	t.Parallel()
	w, grace, partner := directory(t)
	ann := w.person("Ann Lee", "Desk", "Ward")
	for i := range 4 {
		w.person(fmt.Sprint("Person ", i), "Desk", "Ward")
	}
	const end = `(first: 1) { pageInfo { endCursor } }`
	lists := map[string]string{
		"staff":              `staff%s`,
		"waiting rooms":      `waitingRooms%s`,
		"Ann's contacts":     `staffMember(id: "` + ann.id + `") { contacts%s }`,
		"Grace's contacts":   `staffMember(id: "` + grace.id + `") { contacts%s }`,
		"who is at the desk": `waitingRoom(id: "` + ann.room("Desk") + `") { members%s }`,
		"who is in the ward": `waitingRoom(id: "` + ann.room("Ward") + `") { members%s }`,
	}
	for of, list := range lists {
		found := partner.asks(`{ directory { `+fmt.Sprintf(list, end)+` } }`, nil)
		cursor := regexp.MustCompile(`"endCursor":"([^"]+)"`).FindSubmatch(found.Data)
		if cursor == nil {
			t.Fatalf("%s has no cursor: %s", of, found.Data)
		}
		for to, list := range lists {
			want := "CURSOR_INVALID"
			if to == of {
				want = ""
			}
			check(t, of+" for "+to, partner.asks(`{ directory { `+fmt.Sprintf(list, `(first: 1, after: "`+string(cursor[1])+`") { nodes { id } }`)+` } }`, nil).code(), want)
		}
	}
}

// TestADownloadGoesOnWithTheChangesBehindIt downloads while people come, move and go.
func TestADownloadGoesOnWithTheChangesBehindIt(t *testing.T) {
	t.Parallel()
	w, grace, partner := directory(t)
	ann := w.person("Ann Lee", "Desk")
	lists := map[string]list{
		"staff.jsonl":                         {of: "staff"},
		"users/" + ann.id + "/contacts.jsonl": {"contacts", ann.id},
		"waiting-rooms/" + grace.room("Desk") + "/members.jsonl": {"room", grace.room("Desk")},
	}
	moving := make(chan struct{})
	go func() {
		defer close(moving)
		for n := range 10 {
			w.enrol(home, fmt.Sprint("Person ", n), "MA", "Desk")
			ann.moves("Desk", fmt.Sprint("Ward ", n))
			ann.name = fmt.Sprint("Ann Lee ", n)
			if n%3 == 2 {
				w.clinics[home][grace.email].rooms = []string{fmt.Sprint("Ward ", n)}
			}
		}
		ann.moves("Desk")
	}()
	copies := map[string][]copyOf{}
	for still := true; still; {
		select {
		case <-moving:
			still = false
		default:
		}
		for address := range lists {
			copies[address] = append(copies[address], partner.downloads(address))
		}
	}
	ann.isDismissed()

	for address, of := range lists {
		want := partner.readsList(of, 500).names
		for n, copied := range copies[address] {
			partner.catchesUp(&copied, 7)
			if !maps.Equal(copied.names, want) {
				t.Errorf("copy %d of %s is %v, not %v", n, address, copied.names, want)
			}
		}
	}
	other := grace.gives(grace.serviceAccount("Fax"), "CONTACTS_READ")
	stolen := copies["staff.jsonl"][0].cursor
	check(t, "to another account", other.asks(`query ($after: Cursor!) { directory { changes(after: $after) { nodes { userId } } } }`, vars{"after": stolen}).code(), "CURSOR_INVALID")
	request, err := http.NewRequest(http.MethodHead, partner.at.server.URL+"/directory/staff.csv", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+partner.token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	check(t, "without the list", response.Header.Get("Changes-Cursor"), partner.readsList(list{of: "staff"}, 1).cursor)
}

// TestADownloadComesInPiecesWithoutGaps has more people than are read at a time.
func TestADownloadComesInPiecesWithoutGaps(t *testing.T) {
	t.Parallel()
	w, _, partner := directory(t)
	const people = 4500
	for i := range people {
		w.clinics[home][fmt.Sprint("p", i)] = &person{email: fmt.Sprintf("p%d@lakeside.example", i), name: fmt.Sprint("P", i), role: "MA", rooms: []string{"Desk"}, id: "known"}
	}
	w.importRoster(home)

	_, _, text := partner.exports("staff.csv")

	seen := map[string]bool{}
	for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
		id, _, _ := strings.Cut(line, ",")
		if seen[id] {
			t.Fatalf("%s comes twice", id)
		}
		seen[id] = true
	}
	check(t, "lines", len(seen), people+3)
}

// TestWhoComesAndGoesWhilePagesAreReadIsTold has somebody go who was to come on the second page, and somebody come back who was on the first.
func TestWhoComesAndGoesWhilePagesAreReadIsTold(t *testing.T) {
	t.Parallel()
	w, grace, partner := directory(t)
	ann := w.person("Ann Lee", "Desk")
	copied := partner.readsList(list{"room", grace.room("Desk")}, 500)
	later := w.person("Zed Fox", "Desk")
	ann.moves("Lab")
	read := func(first int) thing {
		t.Helper()
		found := partner.sees(`query ($after: Cursor!, $first: Int!) { directory { changes(after: $after, first: $first) { nodes { kind user { name } } pageInfo { endCursor } } } }`, vars{"after": copied.cursor, "first": first}).at("directory.changes")
		if end := found.text("pageInfo.endCursor"); end != "" {
			copied.cursor = end
		}
		return found
	}
	check(t, "the first page", read(1).text("nodes.0.kind"), "REMOVED")

	later.moves("Lab")
	check(t, "who came and went", read(1).text("nodes.0.kind"), "REMOVED")
	ann.moves("Desk")

	found := read(10)
	check(t, "then", found.texts("nodes", "user.name")+" "+found.texts("nodes", "kind"), "Ann Lee, Zed Fox ADDED, REMOVED")
	check(t, "and nothing more", len(read(10).list("nodes")), 0)
}

func TestDownloadsThatBeginTogetherStayWithinTheBudget(t *testing.T) {
	t.Parallel()
	w := newThriftyWorld(t, 300)
	grace := w.person("Grace Hall", "Desk").administers()
	key := grace.gives(grace.serviceAccount("Directory"), "CONTACTS_READ")
	for i := range 4000 {
		w.clinics[home][fmt.Sprint("p", i)] = &person{email: fmt.Sprintf("p%d@lakeside.example", i), name: fmt.Sprint("P", i), role: "MA", rooms: []string{"Desk"}, id: "known"}
	}
	w.importRoster(home)
	const together = 12
	statuses := make(chan int, together)

	for range together {
		go func() {
			status, _, _ := key.exports("staff.csv")
			statuses <- status
		}()
	}

	whole := 0
	for range together {
		if <-statuses == http.StatusOK {
			whole++
		}
	}
	check(t, "let through with 300 points, of those that cost 400", whole, 1)
}
