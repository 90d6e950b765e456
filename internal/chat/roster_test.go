package chat

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"corridor/internal/eventlog"
	"corridor/internal/pgtest"
)

func newService(t testing.TB) (*Service, *pgtest.Database) {
	t.Helper()
	database := pgtest.New(t)
	db := database.Open()
	logger := slog.New(slog.DiscardHandler)
	return New(db, eventlog.New(db, eventlog.ByPostgres(db, database.URL), []byte("key"), logger), logger), database
}

func quietly(string, int, int) {}

func TestEveryBadRowOfARosterIsNamed(t *testing.T) {
	t.Parallel()
	for name, roster := range map[string]struct{ text, want string }{
		"empty file":   {"", "line 1: there is no header"},
		"wrong header": {"mail,name,role,waiting_rooms\n", `line 1: the header is not email,name,role,waiting_rooms but "mail,name,role,waiting_rooms"`},
		"semicolons":   {"\"email\";\"name\"\n", `line 1: the header is not email,name,role,waiting_rooms but "\"email\";\"name\""`},
		"a workbook":   {"PK\x03\x04\x14\x00\x06\"\x00", "line 1: the file is no CSV in UTF-8, but UTF-16 or a workbook: save it as CSV UTF-8"},
		"a long line":  {strings.Repeat("x", 1000), `but "` + strings.Repeat("x", 80) + `"`},
		"one line":     {"email,name,role,waiting_rooms\nann,,MA,Lab\n", "1 bad row,|line 2: name is empty|line 2: email is not"},
		"UTF-16":       {"\xff\xfee\x00m\x00", "line 1: the file is no CSV in UTF-8, but UTF-16 or a workbook: save it as CSV UTF-8"},
		"Latin-1":      {"email,name,role,waiting_rooms\nann@x.example,Ren\xe9,MA,Lab\n", "1 bad row,|line 2: it is not in UTF-8: save the file as CSV UTF-8"},
		"everything at once": {
			"email,name,role,waiting_rooms\n" +
				"ann@x.example,Ann,MA,Lab\n" +
				"not an address,Bob,MA,Lab\n" +
				"cy@x.example,,MA,Lab\n" +
				"dee@x.example,Dee,MA\n" +
				"ANN@x.example,Ann again,MA,Lab\n" +
				"eve@x.example,\"E\x01ve\",MA,Lab\n" +
				"fay@x.example," + strings.Repeat("f", 201) + ",MA,Lab\n" +
				"gus@x.example,Gus,MA," + strings.Repeat("r", 101) + "\n" +
				"hal@x.example,\"Hal\"x,MA,Lab\n" +
				"ian@x.example,Ian,,Lab\n",
			"line 3: email is not an e-mail address|line 4: name is empty|line 5: it has 3 fields instead of 4|" +
				"line 6: the e-mail address stands in line 2 already|line 7: name: The text contains a control character.|" +
				"line 8: name: The text has more than 200 characters.|line 9: waiting_rooms: The text has more than 100 characters.|" +
				"line 10: |line 11: role is empty",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows, err := ReadRoster(strings.NewReader(roster.text))
			bad := new(RosterError)
			if !errors.As(err, &bad) || rows != nil {
				t.Fatalf("read %v, %v", rows, err)
			}
			for _, want := range strings.Split(roster.want, "|") {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is missing in\n%v", want, err)
				}
			}
		})
	}
}

func TestARosterIsReadAsPeopleWriteIt(t *testing.T) {
	t.Parallel()
	rows, err := ReadRoster(strings.NewReader("\ufeff\"email\",name,role,waiting_rooms\r\n Ann@X.example ,\"Lee, Ann\",MA, Lab ; Front desk;Lab;\r\nbob@x.example,Bob,CSR,\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprint(rows), "[{2 ann@x.example Lee, Ann MA [Lab Front desk]} {3 bob@x.example Bob CSR []}]"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
}

func TestAnImportIsTheFullStateAndIdempotent(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	ctx := context.Background()
	first := []RosterRow{
		{Email: "ann@x.example", Name: "Ann", Role: "MA", WaitingRooms: []string{"Lab", "Desk"}},
		{Email: "bob@x.example", Name: "Bob", Role: "CSR", WaitingRooms: []string{"Desk"}},
	}
	second := []RosterRow{
		{Email: "bob@x.example", Name: "Robert", Role: "CSR", WaitingRooms: []string{"X-ray"}},
		{Email: "cy@x.example", Name: "Cy", Role: "MA", WaitingRooms: []string{"Desk"}},
	}
	summary := func(rows []RosterRow, dryRun bool) string {
		t.Helper()
		c, err := s.ImportRoster(ctx, ImportRosterInput{Clinic: "Clinic", Rows: rows, DryRun: dryRun, Progress: quietly})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(c.RoomsAdded)
		slices.Sort(c.RoomsClosed)
		return fmt.Sprint(c.ClinicCreated, c.Added, c.Renamed, c.Reactivated, c.Deactivated, c.RoomsAdded, c.RoomsClosed, c.Joined, c.Left)
	}
	const nothing = "false [] [] [] [] [] [] 0 0"
	for _, step := range []struct {
		what   string
		rows   []RosterRow
		dryRun bool
		want   string
	}{
		{"a dry run", first, true, "true [ann@x.example bob@x.example] [] [] [] [Desk Lab] [] 3 0"},
		{"changed nothing", first, false, "true [ann@x.example bob@x.example] [] [] [] [Desk Lab] [] 3 0"},
		{"again", first, false, nothing},
		{"another state", second, true, "false [cy@x.example] [bob@x.example] [] [ann@x.example] [X-ray] [Lab] 2 3"},
		{"applied", second, false, "false [cy@x.example] [bob@x.example] [] [ann@x.example] [X-ray] [Lab] 2 3"},
		{"again", second, false, nothing},
		{"and back", first, false, "false [] [bob@x.example] [ann@x.example] [cy@x.example] [] [X-ray] 3 2"},
	} {
		if got := summary(step.rows, step.dryRun); got != step.want {
			t.Errorf("%s: got %s, want %s", step.what, got, step.want)
		}
	}
	if _, err := s.ImportRoster(ctx, ImportRosterInput{Clinic: " ", Rows: first, Progress: quietly}); err == nil {
		t.Error("a clinic without a name was made")
	}
}

func TestImportsOfOneClinicTakeTurns(t *testing.T) {
	t.Parallel()
	s, database := newService(t)
	var group sync.WaitGroup
	for i := range 6 {
		group.Go(func() {
			rows := []RosterRow{{Email: "ann@x.example", Name: fmt.Sprint("Ann ", i), Role: "MA", WaitingRooms: []string{fmt.Sprint("Room ", i)}}}
			if _, err := s.ImportRoster(context.Background(), ImportRosterInput{Clinic: "Clinic", Rows: rows, Progress: quietly}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	var left struct{ Users, Rooms, Members int }
	const query = `
		SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM waiting_rooms WHERE deactivated_at IS NULL) AS rooms,
			(SELECT count(*) FROM waiting_room_members) AS members`
	if err := database.Open().Get(&left, query); err != nil {
		t.Fatal(err)
	}
	if left.Users != 1 || left.Rooms != 1 || left.Members != 1 {
		t.Errorf("the imports left %+v, want one of each", left)
	}
}

func TestPolicyIsCheckedBeforeItIsSet(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	ctx := context.Background()
	if _, err := s.ImportRoster(ctx, ImportRosterInput{Clinic: "Clinic", AllowDeactivations: true, Progress: quietly}); err != nil {
		t.Fatal(err)
	}
	for what, change := range map[string]func(*Policy){
		"who":       func(p *Policy) { p.ManageParticipants = "NOBODY" },
		"size":      func(p *Policy) { p.GroupSizeLimit = 1 },
		"retention": func(p *Policy) { p.RetentionDays = -1 },
		"contact":   func(p *Policy) { p.SupportContact = "a\nb" },
	} {
		if _, err := s.SetPolicy(ctx, "Clinic", change); err == nil {
			t.Errorf("a wrong %s was set", what)
		}
	}
	if _, err := s.SetPolicy(ctx, "Nowhere", func(*Policy) {}); err == nil {
		t.Error("the policy of no clinic was set")
	}
	clinics, err := s.Clinics(ctx)
	if err != nil || len(clinics) != 1 || clinics[0].GroupSizeLimit != 250 || clinics[0].RenameGroup != OwnerOnly {
		t.Errorf("the clinics are %+v, %v", clinics, err)
	}
}

func BenchmarkImportRoster(b *testing.B) {
	rows := make([]RosterRow, 50_000)
	for i := range rows {
		rows[i] = RosterRow{
			Email: fmt.Sprintf("person%d@x.example", i), Name: fmt.Sprintf("Person %d", i), Role: "MA",
			WaitingRooms: []string{fmt.Sprint("Room ", i%500), fmt.Sprint("Room ", i*7%500)},
		}
	}
	for b.Loop() {
		s, _ := newService(b)
		if _, err := s.ImportRoster(context.Background(), ImportRosterInput{Clinic: "Clinic", Rows: rows, Progress: quietly}); err != nil {
			b.Fatal(err)
		}
	}
}
