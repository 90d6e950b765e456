package chat

import (
	"context"
	"fmt"

	"corridor/internal/eventlog"
)

// directory is what one transaction changes of who is in a clinic, for those who keep a copy of it. Each
// person concerned is one event of the clinic's stream, and its seq, the directory seq, stands with what
// changed: in users.changed_seq and, for waiting rooms, in joined_seq and left_seq. So who was whose contact at a
// directory seq can be asked later, exactly.
//
// Whoever changes a directory holds the lock of the clinic from before openDirectory on. So the seqs are known before
// the events are appended, last in the order of all locks.
type directory struct {
	stream, head int64
	seqs         map[UserID]int64
	changes      []eventlog.Event
}

// openDirectory reads how far the directory of a clinic is that was just locked.
func openDirectory(ctx context.Context, tx *transaction, clinic Clinic) (*directory, error) {
	d := &directory{stream: clinic.Stream, seqs: map[UserID]int64{}}
	if err := tx.GetContext(ctx, &d.head, `SELECT head FROM streams WHERE number = $1`, clinic.Stream); err != nil {
		return nil, fmt.Errorf("open the directory: %w", err)
	}
	return d, nil
}

// changed says that something of a person changes, and returns the seq of all that does.
func (d *directory) changed(id UserID) int64 {
	seq := d.seqs[id]
	if seq == 0 {
		d.changes = append(d.changes, eventlog.Event{Stream: d.stream, Kind: kindDirectoryChanged, Subject: id.UUID})
		seq = d.head + int64(len(d.changes))
		d.seqs[id] = seq
	}
	return seq
}

// write writes to the people that they changed, and appends their events with others of the transaction.
func (d *directory) write(ctx context.Context, tx *transaction, others []eventlog.Event) error {
	ids, seqs := make([]UserID, len(d.changes)), make([]int64, len(d.changes))
	for n, event := range d.changes {
		ids[n], seqs[n] = UserID{event.Subject}, d.head+int64(n)+1
	}
	const query = `
		UPDATE users SET changed_seq = seq FROM unnest($1::uuid[], $2::bigint[]) AS given (person, seq)
		WHERE id = person AND changed_seq <> seq`
	if _, err := tx.ExecContext(ctx, query, array(ids), array(seqs)); err != nil {
		return fmt.Errorf("write who changed: %w", err)
	}
	appended, err := tx.appendAll(ctx, append(others, d.changes...))
	if err != nil {
		return err
	}
	for n, event := range appended[len(others):] {
		if event.Seq != seqs[n] {
			return fmt.Errorf("the directory changed without the lock of the clinic: %d is %d", seqs[n], event.Seq)
		}
	}
	return nil
}
