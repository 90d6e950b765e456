package graph

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/vikstrous/dataloadgen"

	"corridor/internal/chat"
)

// What is asked of one of a list is read of all of it, once; what there is of each is told to each.
func TestSiblingsAreReadTogether(t *testing.T) {
	t.Parallel()
	family := []string{"ann", "bob", "cai", "dee"}
	var reads atomic.Int64
	l := batched(&response{}, func(_ context.Context, _ chat.Actor, keys []string) (map[string]int, error) {
		reads.Add(1)
		if !slices.Equal(keys, family) {
			t.Errorf("%q are read", keys)
		}
		return map[string]int{"ann": 1, "bob": 2}, dataloadgen.MappedFetchError[string]{"cai": errors.New("cai's")}
	})
	l.siblings = func(key string) (*string, func() []string) {
		if key == "eve" {
			return nil, nil
		}
		return &family[0], func() []string { return family }
	}
	var asking sync.WaitGroup
	for range 20 {
		for key, want := range map[string]string{"ann": "1 ", "bob": "2 ", "cai": "0 cai's", "dee": "0 " + dataloadgen.ErrNotFound.Error()} {
			asking.Go(func() {
				value, err := l.Load(t.Context(), key)
				got := string(rune('0'+value)) + " "
				if err != nil {
					got += err.Error()
				}
				if got != want {
					t.Errorf("%s hears %s, want %s", key, got, want)
				}
			})
		}
	}
	asking.Wait()
	if reads.Load() != 1 {
		t.Errorf("it was read %d times", reads.Load())
	}
}

// A fault of what is read for all is a fault for all, also for those who come later.
func TestSiblingsShareAFault(t *testing.T) {
	t.Parallel()
	family := []string{"ann", "bob"}
	for name, fetch := range map[string]func(context.Context, chat.Actor, []string) (map[string]int, error){
		"an error": func(context.Context, chat.Actor, []string) (map[string]int, error) { return nil, errUnread },
		"a panic":  func(context.Context, chat.Actor, []string) (map[string]int, error) { panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := batched(&response{}, fetch)
			l.siblings = func(string) (*string, func() []string) { return &family[0], func() []string { return family } }
			var errs []error
			for _, key := range family {
				func() {
					defer func() {
						if panicked := recover(); panicked != nil {
							errs = append(errs, errUnread)
						}
					}()
					_, err := l.Load(t.Context(), key)
					errs = append(errs, err)
				}()
			}
			for i, err := range errs {
				if !errors.Is(err, errUnread) || strings.Contains(err.Error(), "not found") {
					t.Errorf("%s hears %v", family[i], err)
				}
			}
		})
	}
}
