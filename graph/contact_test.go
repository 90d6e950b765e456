package graph_test

import "testing"

// S3: putting people into a room is all it takes.
func TestS3PeopleInARoomAreContactsByThemselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t)

	ann := w.person("Ann Lee", "Front desk")
	bob := w.person("Bob Roy", "Front desk")
	w.person("Eve Fox", "Lab")

	check(t, "Ann's contacts", ann.contacts(), "Bob Roy")
	check(t, "Bob's contacts", bob.contacts(), "Ann Lee")
}

func TestS23AMessageIsHeard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	people := w.people("Front desk", "Ann Lee", "Bob Roy")
	ann, bob := people[0], people[1]
	group := ann.group("Case", bob)
	stream := bob.follows()

	ann.sends(group, "the scan is in")

	check(t, "Bob hears", stream.hears(), "Ann Lee: the scan is in")
	check(t, "Bob reads", bob.reads(group), "Ann Lee created the group., the scan is in")
}
