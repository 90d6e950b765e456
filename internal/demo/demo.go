// Package demo makes a clinic to look around in: people of several rooms, with conversations that
// are read, unread, muted, archived and left. Everything in it is invented, and nothing in it is
// about a patient.
//
// Every step has a client key of its own that never changes, so to make it again, after a crash
// half way for example, adds only what is missing.
package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"corridor/internal/chat"
)

// Clinic is the name of the demo clinic.
const Clinic = "Lakeside Clinic"

// Introduced are the e-mail addresses of two people with much to see. They are each other's
// contacts.
var Introduced = [2]string{"ann.lee@lakeside.example", "maria.alvarez@lakeside.example"}

const roster = `email,name,role,waiting_rooms
ann.lee@lakeside.example,Ann Lee,CSR,Front Desk;Cardiology
bob.okafor@lakeside.example,Bob Okafor,CSR,Front Desk;Pediatrics
david.cohen@lakeside.example,דוד כהן,Physician,Cardiology;Pediatrics
grace.obrien@lakeside.example,Grace O’Brien,Practice Manager,Front Desk;Cardiology;Pediatrics;Imaging
li.na@lakeside.example,李娜,MA,Cardiology
maria.alvarez@lakeside.example,María Álvarez,Physician,Cardiology;Imaging
minjun.park@lakeside.example,박민준,CSR,Front Desk;Imaging
noor.alsayed@lakeside.example,نور السيد,MA,Pediatrics;Imaging
olena.kovalenko@lakeside.example,Олена Коваленко,MA,Front Desk;Cardiology
priya.raman@lakeside.example,பிரியா ராமன்,Nurse Practitioner,Pediatrics
soren.ostergaard@lakeside.example,Søren Østergaard,Physician,Pediatrics
tomas.novak@lakeside.example,Tomáš Novák,MA,Imaging
yuki.tanaka@lakeside.example,田中ゆき,Physician,Imaging
zoe.brown@lakeside.example,Zoë Brown,CSR,Front Desk
`

var invented = sync.OnceValues(func() ([]chat.RosterRow, error) {
	rows, err := chat.ReadRoster(strings.NewReader(roster))
	if err != nil {
		return nil, fmt.Errorf("read the demo roster: %w", err)
	}
	return rows, nil
})

// ErrNobody says that an e-mail address is of nobody who was invented for the demo clinic and is active there.
var ErrNobody = errors.New("that is nobody of the demo clinic")

// Person returns the person of the demo clinic with an e-mail address. Nobody of another clinic is one, nor who came
// to this by another roster.
func Person(ctx context.Context, service *chat.Service, email string) (chat.User, error) {
	rows, err := invented()
	if err != nil {
		return chat.User{}, err
	}
	if !slices.ContainsFunc(rows, func(row chat.RosterRow) bool { return row.Email == email }) {
		return chat.User{}, ErrNobody
	}
	user, err := service.FindUser(ctx, email, Clinic)
	if refused := new(chat.Error); errors.As(err, &refused) {
		return chat.User{}, ErrNobody
	}
	return user, err
}

// People returns the people of the demo clinic who are active, in the order of its roster.
func People(ctx context.Context, service *chat.Service) ([]chat.User, error) {
	rows, err := invented()
	if err != nil {
		return nil, err
	}
	var people []chat.User
	for _, row := range rows {
		person, err := Person(ctx, service, row.Email)
		if errors.Is(err, ErrNobody) {
			continue
		}
		if err != nil {
			return nil, err
		}
		people = append(people, person)
	}
	return people, nil
}

// Make makes the demo clinic.
func Make(ctx context.Context, service *chat.Service) error {
	rows, err := invented()
	if err != nil {
		return err
	}
	if _, err := service.ImportRoster(ctx, chat.ImportRosterInput{Clinic: Clinic, Rows: rows, Progress: func(string, int, int) {}}); err != nil {
		return fmt.Errorf("import the demo roster: %w", err)
	}
	if _, err := service.SetPolicy(ctx, Clinic, func(p *chat.Policy) { p.SupportContact = "help@lakeside.example" }); err != nil {
		return fmt.Errorf("name whom the demo clinic's people ask for help: %w", err)
	}
	manager, err := Person(ctx, service, "grace.obrien@lakeside.example")
	if err != nil {
		return fmt.Errorf("find the manager of the demo clinic: %w", err)
	}
	if err := service.SetAdministrator(ctx, manager, true); err != nil {
		return fmt.Errorf("let the manager administer the demo clinic: %w", err)
	}
	story := &story{ctx: ctx, chat: service, people: map[string]chat.Actor{}, steps: map[string]int{}}
	for _, row := range rows {
		name, _, _ := strings.Cut(row.Email, "@")
		story.enters(name, row.Email)
	}
	story.tell()
	if story.err != nil {
		return fmt.Errorf("make the demo conversations: %w", story.err)
	}
	return nil
}

// tell is what has happened at the clinic so far.
func (s *story) tell() {
	desk := s.founds("ann.lee", "Front desk", "bob.okafor", "zoe.brown", "minjun.park", "olena.kovalenko", "grace.obrien")
	s.says(desk, "ann.lee", "Morning all! The card reader at window 2 is down, please use window 1.")
	s.says(desk, "zoe.brown", "Thanks Ann. I put a note on the glass.")
	s.says(desk, "minjun.park", "IT says they come by before ten.")
	s.says(desk, "bob.okafor", "I can take the lunch shift from 12 to 1 if somebody has me from 1 to 2.")
	s.says(desk, "olena.kovalenko", "Deal, 1 to 2 is mine.")
	s.says(desk, "grace.obrien", "Lovely. The new phone list is in the drawer under the printer.")

	huddle := s.founds("maria.alvarez", "Cardiology huddle", "ann.lee", "li.na", "olena.kovalenko", "david.cohen", "grace.obrien")
	s.says(huddle, "maria.alvarez", "Huddle at 8:15 in room 3 today, room 2 is being painted.")
	s.says(huddle, "li.na", "好的，我把推车也移到3号房。 (I'll move the cart as well.)")
	s.says(huddle, "david.cohen", "תודה! I'm five minutes late, start without me.")
	s.says(huddle, "ann.lee", "Room 3 is booked for us until nine.")
	s.says(huddle, "grace.obrien", "The paint smells stronger than promised, I've opened all the windows.")
	s.says(huddle, "maria.alvarez", "Then let's keep it short 🙂")

	morning := s.founds("soren.ostergaard", "Pediatrics morning", "bob.okafor", "noor.alsayed", "priya.raman", "grace.obrien", "david.cohen")
	s.says(morning, "soren.ostergaard", "We are out of the dinosaur stickers. This is not a drill.")
	s.says(morning, "noor.alsayed", "عندي علبة جديدة، سأحضرها (I have a new box, bringing it).")
	s.says(morning, "priya.raman", "You saved the morning.")
	s.says(morning, "bob.okafor", "Ordered ten more packs, they come on Thursday.")

	imaging := s.founds("yuki.tanaka", "Imaging", "tomas.novak", "maria.alvarez", "minjun.park", "noor.alsayed")
	s.says(imaging, "tomas.novak", "Scanner 1 is back after its service, calibration is done.")
	s.says(imaging, "yuki.tanaka", "ありがとう！ Then we open both lists from eleven.")
	s.says(imaging, "minjun.park", "I'll tell the desk.")

	potluck := s.founds("zoe.brown", "Potluck Friday 🥗", "ann.lee", "bob.okafor", "grace.obrien", "minjun.park")
	s.says(potluck, "zoe.brown", "Who brings what? I make the bean salad.")
	s.says(potluck, "minjun.park", "김치전! Two trays.")
	s.says(potluck, "bob.okafor", "Jollof rice, as if there was a question.")
	s.mutes(potluck, "ann.lee")
	s.says(potluck, "grace.obrien", "Plates and forks from me, and nobody tells the dentist next door.")
	s.says(potluck, "zoe.brown", "I told the dentist next door. She brings pie.")

	printer := s.founds("minjun.park", "Printer on floor 2", "ann.lee", "zoe.brown", "bob.okafor")
	s.says(printer, "minjun.park", "It eats every second sheet again.")
	s.says(printer, "ann.lee", "New rollers are in, it prints.")
	s.says(printer, "bob.okafor", "Until Monday, then.")
	s.archives(printer, "ann.lee")

	cover := s.founds("grace.obrien", "Holiday cover", "ann.lee", "bob.okafor", "zoe.brown")
	s.says(cover, "grace.obrien", "Please send me your days for the week of the 24th.")
	s.says(cover, "ann.lee", "Mine are in the calendar. I'm out of the planning then, ask me if anything changes.")
	s.leaves(cover, "ann.lee")
	s.says(cover, "zoe.brown", "I can do the 24th and the 26th.")

	s.between("maria.alvarez", "ann.lee",
		"Ann, can you move my 11:30 meeting to the afternoon?",
		"Done, 2:15. The room stays the same.",
		"You are the best, thank you!",
	)
	s.between("ann.lee", "bob.okafor",
		"Did the courier come already?",
		"Ten minutes ago, the box is behind the counter.",
	)
	s.between("grace.obrien", "ann.lee",
		"Could you show Olena the new booking screen some time this week?",
	)
	s.between("li.na", "maria.alvarez",
		"The new blood pressure cuffs are in, where do you want them?",
		"Room 2, second shelf. Gracias, 李娜!",
	)
	s.between("soren.ostergaard", "noor.alsayed",
		"Tak for the stickers. The dinosaurs are very popular.",
		"😂 الديناصور الأخضر هو الأفضل",
	)
	s.between("tomas.novak", "grace.obrien",
		"Za chvíli odcházím, the keys of the store are with Yuki.",
	)
}

// story tells what people did, one step after the other, until the first that fails.
type story struct {
	ctx    context.Context
	chat   *chat.Service
	people map[string]chat.Actor
	// steps counts what each person did, for the client keys.
	steps map[string]int
	err   error
}

func (s *story) enters(name, email string) {
	if s.err != nil {
		return
	}
	user, err := s.chat.FindUser(s.ctx, email, Clinic)
	if err == nil {
		s.people[name], err = s.chat.SignedIn(s.ctx, chat.Credential{Subject: user.ID.UUID})
	}
	s.err = err
}

// does takes one step of a person's.
func (s *story) does(name string, act func(who chat.Actor, key string) error) {
	if s.err != nil {
		return
	}
	s.steps[name]++
	s.err = act(s.people[name], "demo "+strconv.Itoa(s.steps[name]))
}

func (s *story) founds(owner, name string, others ...string) (group chat.ConversationID) {
	s.does(owner, func(who chat.Actor, key string) error {
		in := chat.CreateGroupInput{ClientKey: key, Name: name}
		for _, other := range others {
			in.UserIDs = append(in.UserIDs, s.people[other].User.ID)
		}
		created, err := s.chat.CreateGroup(s.ctx, who, in)
		if err == nil {
			group = created.ID
		}
		return err
	})
	return group
}

func (s *story) says(in chat.ConversationID, name, text string) {
	s.does(name, func(who chat.Actor, key string) error {
		_, err := s.chat.SendMessage(s.ctx, who, chat.SendMessageInput{ClientKey: key, ConversationID: in, Body: text})
		return err
	})
}

// between is a direct conversation whose lines come from the one and the other in turn.
func (s *story) between(first, second string, lines ...string) {
	var conversation chat.ConversationID
	s.does(first, func(who chat.Actor, key string) error {
		started, err := s.chat.StartDirectConversation(s.ctx, who, chat.StartDirectConversationInput{
			ClientKey: key, UserID: s.people[second].User.ID,
		})
		if err == nil {
			conversation = started.ID
		}
		return err
	})
	for i, text := range lines {
		s.says(conversation, []string{first, second}[i%2], text)
	}
}

func (s *story) mutes(in chat.ConversationID, name string) {
	s.does(name, func(who chat.Actor, key string) error {
		_, err := s.chat.MuteConversation(s.ctx, who, chat.MuteConversationInput{ClientKey: key, ConversationID: in})
		return err
	})
}

func (s *story) archives(in chat.ConversationID, name string) {
	s.does(name, func(who chat.Actor, key string) error {
		_, err := s.chat.ArchiveConversation(s.ctx, who, chat.ArchiveConversationInput{ClientKey: key, ConversationID: in})
		return err
	})
}

func (s *story) leaves(group chat.ConversationID, name string) {
	s.does(name, func(who chat.Actor, key string) error {
		_, err := s.chat.LeaveGroup(s.ctx, who, chat.LeaveGroupInput{ClientKey: key, ConversationID: group})
		return err
	})
}
