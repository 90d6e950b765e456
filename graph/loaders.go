package graph

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/vikstrous/dataloadgen"

	"corridor/graph/execution"
	"corridor/internal/chat"
	"corridor/internal/courtesy"
)

// A loader puts together what the fields of one response ask for, one statement for all. What the
// actor may not see it does not find.
type loader[K comparable, V any] struct {
	of    *response
	fetch func(context.Context, chat.Actor, []K) (map[K]V, error)

	once   sync.Once
	loader *dataloadgen.Loader[K, V]
	// primed is what came with something else.
	primed sync.Map
}

// prime says what there is of a key, before anybody asks.
func (l *loader[K, V]) prime(key K, value V) { l.primed.Store(key, value) }

// Load returns what there is of the key.
func (l *loader[K, V]) Load(ctx context.Context, key K) (V, error) {
	if value, ok := l.primed.Load(key); ok {
		return value.(V), nil
	}
	// Most responses need few of the loaders.
	l.once.Do(func() {
		l.loader = dataloadgen.NewMappedLoader(func(ctx context.Context, keys []K) (map[K]V, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTime)
			defer cancel()
			courtesy.GiveWay(ctx)
			return l.fetch(ctx, l.of.actor, keys)
		}, dataloadgen.WithWait(batchWait), dataloadgen.WithBatchCapacity(1000))
	})
	var thunk func() (V, error)
	l.of.gather(ctx, func() { thunk = l.loader.LoadThunk(ctx, key) })
	return thunk()
}

// find returns what there is of the key, nil if there is nothing.
func (l *loader[K, V]) find(ctx context.Context, key K) (*V, error) {
	value, err := l.Load(ctx, key)
	if errors.Is(err, dataloadgen.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &value, nil
}

// response holds back what its fields ask the loaders for until the fields have come to rest. A
// loader by itself waits for a fixed time, which is too short for the fields of a long list: they
// take longer than that to ask, and would come into many batches.
type response struct {
	actor chat.Actor

	mu      sync.Mutex
	waiting []func()
	passed  chan struct{}
}

const (
	// No field asks for anything so often for so long until those that did are let through. Once
	// would not do: if the machine was busy with something else, the fields slept as well.
	restings, rest = 3, 200 * time.Microsecond
	// longest is how long a field is held back at most.
	longest = 100 * time.Millisecond
	// batchWait is longer than it takes to let the fields through.
	batchWait = time.Millisecond
	// batchTime bounds what a batch may take, whoever asked first: the others wait for it too.
	batchTime = 10 * time.Second
)

// gather calls ask when the fields have come to rest, behind those of all others, and returns.
func (r *response) gather(ctx context.Context, ask func()) {
	r.mu.Lock()
	if r.passed == nil {
		r.passed = make(chan struct{})
		go r.pass(ctx, r.passed)
	}
	r.waiting = append(r.waiting, ask)
	passed := r.passed
	r.mu.Unlock()
	execution.Yield(ctx)
	<-passed
}

func (r *response) pass(ctx context.Context, passed chan struct{}) {
	until := time.Now().Add(longest)
	for asked, rested := 1, 0; rested < restings && time.Now().Before(until); rested++ {
		time.Sleep(rest)
		paused := time.Now()
		courtesy.Pause(ctx) // where all others pause, they have not come to rest
		until = until.Add(time.Since(paused))
		runtime.Gosched() // whoever is about to ask goes first
		r.mu.Lock()
		if now := len(r.waiting); now != asked {
			asked, rested = now, -1
		}
		r.mu.Unlock()
	}
	r.mu.Lock()
	waiting := r.waiting
	r.waiting, r.passed = nil, nil
	r.mu.Unlock()
	for _, ask := range waiting {
		ask()
	}
	close(passed)
}

// found makes nothing of a nil pointer that is about to become an interface.
func found[I any, V any](value *V, err error) (I, error) {
	if value == nil {
		var nothing I
		return nothing, err
	}
	return any(*value).(I), err
}

// loaders are those of one response: each event of a subscription has its own, so that it is
// judged by what the actor may see when it is sent.
type loaders struct {
	actor               chat.Actor
	users               loader[chat.UserID, chat.User]
	knownUsers          loader[chat.UserID, chat.User]
	contacts            loader[chat.UserID, chat.Contact]
	sharedRooms         loader[chat.UserID, []chat.WaitingRoom]
	directConversations loader[chat.UserID, *chat.DirectConversation]
	conversations       loader[chat.ConversationID, chat.Conversation]
	participants        loader[chat.ParticipantID, chat.Participant]
	participantCounts   loader[chat.ConversationID, int]
	participantPages    loader[pageOf[chat.ParticipantWindow], chat.Page[chat.Participant]]
	messages            loader[chat.MessageID, chat.Message]
	lastMessages        loader[pageOf[bool], chat.Message]
	messagePages        loader[pageOf[chat.Window], chat.Page[chat.Message]]
	files               loader[chat.FileID, chat.File]
	filesOfMessages     loader[chat.MessageID, []chat.File]
	staff               loader[staffPage, chat.Page[chat.User]]
	staffMembers        loader[chat.UserID, chat.User]
	staffRooms          loader[chat.UserID, []chat.WaitingRoom]
	clinicRooms         loader[chat.WaitingRoomID, chat.WaitingRoom]
	waitingRooms        loader[chat.WaitingRoomID, chat.WaitingRoom]
	partnerKeys         loader[chat.PartnerKeyID, chat.PartnerKey]
	unread              func() (chat.Unread, error)
}

// pageOf names a page of one conversation, or what else is asked of it in one of several ways.
type pageOf[W comparable] struct {
	conversation chat.ConversationID
	window       W
}

// batched makes a loader of a method of chat. What it finds is the actor's, of this response.
func batched[K comparable, V any](of *response, fetch func(context.Context, chat.Actor, []K) (map[K]V, error)) loader[K, V] {
	return loader[K, V]{of: of, fetch: fetch}
}

func newLoaders(ctx context.Context, service *chat.Service, actor chat.Actor) *loaders {
	of := &response{actor: actor}
	l := &loaders{
		actor:               actor,
		users:               batched(of, service.Users),
		knownUsers:          batched(of, service.KnownUsers),
		contacts:            batched(of, service.ContactsAmong),
		sharedRooms:         batched(of, service.SharedWaitingRooms),
		directConversations: batched(of, service.DirectConversationsWith),
		conversations:       batched(of, service.ConversationsByID),
		participants:        batched(of, service.ParticipantsByID),
		participantCounts:   batched(of, service.ParticipantCounts),
		messages:            batched(of, service.MessagesByID),
		files:               batched(of, service.FilesByID),
		filesOfMessages:     batched(of, service.FilesOfMessages),
		staffMembers:        batched(of, service.StaffMembers),
		staffRooms:          batched(of, service.StaffWaitingRooms),
		clinicRooms:         batched(of, service.ClinicWaitingRoomsByID),
		partnerKeys:         batched(of, service.PartnerKeysByID),
		waitingRooms: batched(of, func(ctx context.Context, actor chat.Actor, _ []chat.WaitingRoomID) (map[chat.WaitingRoomID]chat.WaitingRoom, error) {
			return service.WaitingRoomsByID(ctx, actor)
		}),
		participantPages: batched(of, pages(service.ParticipantPages)),
		messagePages:     batched(of, pages(service.MessagePages)),
		lastMessages:     batched(of, pages(service.LastMessages)),
		unread: sync.OnceValues(func() (chat.Unread, error) {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), batchTime)
			defer cancel()
			return service.Unread(ctx, actor)
		}),
	}
	l.staff = batched(of, l.staffPages(service))
	return l
}

// staffPage is a page of people of the directory, with the rooms that they are in if those are selected.
type staffPage struct {
	chat.StaffPage
	withRooms bool
}

// staffPages reads pages, and then the rooms of all who are on them, before each of them asks.
func (l *loaders) staffPages(service *chat.Service) func(context.Context, chat.Actor, []staffPage) (map[staffPage]chat.Page[chat.User], error) {
	return func(ctx context.Context, actor chat.Actor, asked []staffPage) (map[staffPage]chat.Page[chat.User], error) {
		pages := make([]chat.StaffPage, len(asked))
		for i, page := range asked {
			pages[i] = page.StaffPage
		}
		read, err := service.Staff(ctx, actor, pages)
		if err != nil {
			return nil, err
		}
		found := make(map[staffPage]chat.Page[chat.User], len(asked))
		var ids []chat.UserID
		for _, page := range asked {
			found[page] = read[page.StaffPage]
			if page.withRooms {
				for _, user := range found[page].Items {
					ids = append(ids, user.ID)
				}
			}
		}
		if len(ids) > 0 {
			courtesy.GiveWay(ctx)
			rooms, err := service.StaffWaitingRooms(ctx, actor, ids)
			if err != nil {
				return nil, err
			}
			for id, of := range rooms {
				l.staffRooms.prime(id, of)
			}
		}
		return found, nil
	}
}

// pages reads conversations that are asked for the same window together. Most responses ask all
// conversations for the same one.
func pages[W comparable, P any](fetch func(context.Context, chat.Actor, []chat.ConversationID, W) (map[chat.ConversationID]P, error),
) func(context.Context, chat.Actor, []pageOf[W]) (map[pageOf[W]]P, error) {
	return func(ctx context.Context, actor chat.Actor, keys []pageOf[W]) (map[pageOf[W]]P, error) {
		byWindow := map[W][]chat.ConversationID{}
		for _, key := range keys {
			byWindow[key.window] = append(byWindow[key.window], key.conversation)
		}
		found := make(map[pageOf[W]]P, len(keys))
		failed := dataloadgen.MappedFetchError[pageOf[W]]{}
		for window, ids := range byWindow {
			pages, err := fetch(ctx, actor, ids, window)
			if err != nil {
				for _, id := range ids {
					failed[pageOf[W]{id, window}] = err
				}
				continue
			}
			for id, page := range pages {
				found[pageOf[W]{id, window}] = page
			}
		}
		if len(failed) > 0 {
			return found, failed
		}
		return found, nil
	}
}

// conversation returns a conversation that the actor may see, nil if there is none of that id.
func (l *loaders) conversation(ctx context.Context, id chat.ConversationID) (chat.Conversation, error) {
	return found[chat.Conversation](l.conversations.find(ctx, id))
}

// together resolves many things at once, so that they come into one batch.
func together[K, V any](ctx context.Context, keys []K, resolve func(context.Context, K) (V, error)) ([]V, error) {
	values := make([]V, len(keys))
	errs := make([]error, len(keys))
	var group sync.WaitGroup
	for i, key := range keys {
		group.Go(func() { values[i], errs[i] = resolve(ctx, key) })
	}
	group.Wait()
	return values, errors.Join(errs...)
}
