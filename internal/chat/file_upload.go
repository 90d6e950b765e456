package chat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"

	"corridor/internal/blob"
	"corridor/internal/clamav"
	"corridor/internal/media"
	"corridor/internal/postgres"
)

// Files says where the bytes of files are kept, and which are taken.
type Files struct {
	Store blob.Store
	// MaxSize is how many bytes a file may have.
	MaxSize int64
	Types   media.Types
	// Scanner searches files for malware; nil if nobody does.
	Scanner *clamav.Daemon
}

// UseFiles has files taken and given. It is for the start.
func (s *Service) UseFiles(options Files) {
	s.files = &files{Files: options, finishing: make(chan struct{}, finishAtOnce), toScan: make(chan struct{}, 1)}
}

// Why a store is not taken.
var (
	// ErrAnotherStore says that it has the files of another database.
	ErrAnotherStore = errors.New("the store has the files of another database")
	// ErrFilesElsewhere says that the files of this database are in another one.
	ErrFilesElsewhere = errors.New("the files of this database are in another store")
)

// ClaimFiles makes sure that the store is the one of this database, and makes it that if it is empty and there are
// no files yet: of another one's files all would be swept away as nobody's. With anew it may also be an empty one
// in place of one that is lost, or one that this database had before.
func (s *Service) ClaimFiles(ctx context.Context, anew bool) error {
	identity, err := s.files.Store.Identity(ctx)
	if err != nil {
		return err
	}
	s.files.identity = identity
	return postgres.InTx(ctx, s.db, func(tx *sqlx.Tx) error { return s.files.claim(ctx, tx, anew) })
}

// claim has the row locked while it looks at the store and writes into it: of processes that start together on a
// new one, the others find it taken by their own database.
func (f *files) claim(ctx context.Context, tx *sqlx.Tx, anew bool) error {
	const query = `
		SELECT id, COALESCE(identity = $1, false) AS ours, EXISTS (SELECT FROM files WHERE state IN ('UPLOADING', 'READY')) AS used
		FROM file_store FOR UPDATE`
	var store struct {
		ID   string
		Ours bool
		Used bool
	}
	if err := tx.GetContext(ctx, &store, query, f.identity); err != nil {
		return fmt.Errorf("read which store is ours: %w", err)
	}
	f.database = store.ID
	owner, err := f.owner(ctx)
	switch {
	case err != nil:
		return err
	case owner != "" && owner != store.ID:
		return ErrAnotherStore
	case store.Ours && owner != "":
		return nil
	case store.Used && !store.Ours && !anew:
		return ErrFilesElsewhere
	}
	if owner == "" {
		if err := f.own(ctx); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, `UPDATE file_store SET identity = $1`, f.identity); err != nil {
		return fmt.Errorf("write down which store is ours: %w", err)
	}
	return nil
}

const (
	// MaxPiece is how many bytes of an upload are taken at a time.
	MaxPiece = 1 << 20
	// maxPieces bounds what an upload comes in, however small its pieces are.
	maxPieces = 4000
	// finishAtOnce bounds how many uploads this process puts together at a time: each is read and looked at.
	finishAtOnce = 4
	// finishTime bounds how long that takes.
	finishTime = 55 * time.Second
)

type files struct {
	Files
	identity  string // of the store
	database  string // the id of the database whose files are in it
	finishing chan struct{}
	toScan    chan struct{}
}

// errNoFiles is a fault: whoever runs this process did not say where files are kept.
var errNoFiles = errors.New("there is no place for files")

// ownerBlob says in the store whose files are in it: the sweep of another database would take all for nobody's. Its
// folder is that of no file.
var ownerBlob = uuid.Nil.String() + "/database"

// owner is the id of the database whose files are in the store, empty if it is nobody's yet.
func (f *files) owner(ctx context.Context) (string, error) {
	said, err := f.Store.Open(ctx, ownerBlob, 0)
	if errors.Is(err, blob.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer said.Close()
	id, err := io.ReadAll(io.LimitReader(said, 100))
	return string(id), err
}

// own makes the store this database's, if there is nothing in it.
func (f *files) own(ctx context.Context) error {
	for _, err := range f.Store.Folders(ctx) {
		if err != nil {
			return err
		}
		return ErrAnotherStore
	}
	return f.Store.Put(ctx, ownerBlob, strings.NewReader(f.database), int64(len(f.database)))
}

// scans tells whether files are searched for malware.
func (f *files) scans() bool { return f != nil && f.Scanner != nil }

// searched notes whether files are searched for malware.
func (f *files) searched(rows []File) []File {
	for i := range rows {
		rows[i].searched = f.scans()
	}
	return rows
}

// announced is the media type that a client may announce. What will not be taken is refused before it is sent.
func (f *files) announced(mediaType string) (string, *Error) {
	if mediaType == "" {
		return "application/octet-stream", nil
	}
	plain, _, err := mime.ParseMediaType(mediaType)
	if err != nil || len(plain) > 127 || strings.Count(plain, "/") != 1 {
		return "", invalid("mediaType", "A media type looks like image/jpeg.")
	}
	if refused := f.Types.Accept(plain); refused != nil {
		return "", refusedFile(refused).of("mediaType")
	}
	return plain, nil
}

// FileSizeLimit is how many bytes a file may have.
func (s *Service) FileSizeLimit() int64 {
	if s.files == nil {
		return 0
	}
	return s.files.MaxSize
}

// FileMediaTypes are the types of files that are taken, in alphabetical order.
func (s *Service) FileMediaTypes() []string {
	if s.files == nil {
		return []string{}
	}
	return s.files.Types.List()
}

// Upload is how far the bytes of a file of the actor's have come.
type Upload struct {
	File
	// Length is how many there will be.
	Length int64 `db:"length"`
	// Pieces is in how many pieces they came.
	Pieces int `db:"pieces"`
	// Announced is the SHA-256 that they shall have, if that was said.
	Announced []byte `db:"announced_sha256"`
}

// UploadOf returns the upload of a file that the actor announced, until it is sent.
func (s *Service) UploadOf(ctx context.Context, actor Actor, id FileID) (*Upload, error) {
	if s.files == nil {
		return nil, errNoFiles
	}
	const query = `
		SELECT ` + fileColumns + `, CASE WHEN state = 'UPLOADING' THEN size ELSE received END AS length, announced_sha256,
			(SELECT count(*) FROM file_pieces WHERE file_id = files.id) AS pieces
		FROM files WHERE uploader_id = $1 AND id = $2 AND state <> 'REMOVED' AND message_id IS NULL`
	var found Upload
	err := s.db.GetContext(ctx, &found, query, actor.User.ID, id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, notFound("file", "id")
	}
	if err != nil {
		return nil, fmt.Errorf("find the upload: %w", err)
	}
	return &found, nil
}

// ReceivePiece takes the bytes of an upload from a place on, which must be where it has come to; otherwise the
// error is CodeUploadMoved. When it returns, they are safe. With the last of them the server looks at the file:
// it is ready then, or refused, and the error says why. If that is cut short, the upload is where it was
// before the piece.
func (s *Service) ReceivePiece(ctx context.Context, actor Actor, id FileID, at int64, piece []byte) error {
	upload, err := s.UploadOf(ctx, actor, id)
	switch {
	case err != nil:
		return err
	case upload.State == FileRefused:
		return upload.Refusal()
	case upload.State != FileUploading || upload.Received != at:
		return ErrUploadMoved
	case at+int64(len(piece)) > upload.Length:
		return refuse(CodeFileSizeMismatch, "More bytes came than the %d that were announced.", upload.Length)
	case at+int64(len(piece)) == upload.Length:
		return s.finishOnce(ctx, actor, upload, piece)
	case upload.Pieces >= maxPieces:
		return refuse(CodeTooManyPieces, "The upload came in %d pieces already: send more at a time.", maxPieces)
	}
	name := newBlob("piece")
	if err := s.files.Store.Put(ctx, pieceName(id, name), bytes.NewReader(piece), int64(len(piece))); err != nil {
		return fmt.Errorf("keep a piece of a file: %w", err)
	}
	const query = `
		WITH moved AS (
			UPDATE files SET received = received + $4
			WHERE id = $1 AND state = 'UPLOADING' AND received = $3 AND ` + uploaderIsActive + `
			RETURNING id
		)
		INSERT INTO file_pieces (file_id, starts_at, blob) SELECT id, $3, $5 FROM moved`
	if err = s.moveUpload(ctx, query, id, actor.User.ID, at, len(piece), name); errors.Is(err, ErrUploadMoved) {
		s.drop(ctx, pieceName(id, name))
	}
	return err
}

// uploaderIsActive holds an upload of the person $2 back once their account has ended (E35).
const uploaderIsActive = `uploader_id = $2 AND EXISTS (SELECT FROM users WHERE id = $2 AND deactivated_at IS NULL)`

// ErrUploadMoved says that an upload is not where it is thought to be.
var ErrUploadMoved = refuse(CodeUploadMoved, "The upload is at another place: ask where it is, and go on from there.")

// moveUpload changes one row of an upload that is where it is thought to be.
func (s *Service) moveUpload(ctx context.Context, query string, arguments ...any) error {
	// Whoever sent it may be gone; what came is kept.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mutationTime)
	defer cancel()
	result, err := s.db.ExecContext(ctx, query, arguments...)
	if postgres.Violates(err, "file_pieces_pkey") {
		return ErrUploadMoved
	}
	if err != nil {
		return fmt.Errorf("move an upload on: %w", err)
	}
	moved, err := result.RowsAffected()
	if err == nil && moved == 0 {
		return ErrUploadMoved
	}
	return err
}

// finishOnce finishes an upload, unless somebody else does so at the same time: under the slower one its pieces vanish.
func (s *Service) finishOnce(ctx context.Context, actor Actor, upload *Upload, last []byte) error {
	err := s.finish(ctx, actor, upload, last)
	if refused := new(Error); err == nil || errors.As(err, &refused) {
		return err
	}
	if now, looked := s.UploadOf(ctx, actor, upload.ID); looked == nil && (now.State != upload.State || now.Received != upload.Received) {
		return ErrUploadMoved
	}
	return err
}

// finish puts the pieces of an upload together with the last one, looks at the file, and keeps it or refuses it.
func (s *Service) finish(ctx context.Context, actor Actor, upload *Upload, last []byte) error {
	select {
	case s.files.finishing <- struct{}{}:
		defer func() { <-s.files.finishing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, finishTime)
	defer cancel()
	whole, digest, err := s.spool(ctx, upload.ID, last, upload.Received)
	if err != nil {
		return err
	}
	defer whole.Close()
	if upload.Announced != nil && !bytes.Equal(upload.Announced, digest) {
		return s.refuseFile(ctx, actor, upload, refuse(CodeFileDigestMismatch, "What arrived does not have the SHA-256 that was announced: send the file again."))
	}
	var rewritten *os.File
	defer func() { rewritten.Close() }() // which does nothing if there is none
	found, err := media.Inspect(ctx, whole, upload.Length, media.Given{Name: upload.Name, MediaType: upload.MediaType}, s.files.Types, func() (_ *os.File, err error) {
		rewritten, err = s.files.Store.Scratch()
		return rewritten, err
	})
	if refused := new(media.Refused); errors.As(err, &refused) {
		return s.refuseFile(ctx, actor, upload, refusedFile(refused))
	}
	if err != nil {
		return fmt.Errorf("look at a file: %w", err)
	}
	return s.keepFile(ctx, actor, upload, found, digest, int64(len(last)))
}

// spool writes what came of an upload into a scratch file and returns it with its digest.
func (s *Service) spool(ctx context.Context, id FileID, last []byte, before int64) (whole *os.File, digest []byte, err error) {
	var pieces []string
	if err := s.db.SelectContext(ctx, &pieces, `SELECT blob FROM file_pieces WHERE file_id = $1 ORDER BY starts_at`, id); err != nil {
		return nil, nil, fmt.Errorf("find the pieces of a file: %w", err)
	}
	if whole, err = s.files.Store.Scratch(); err != nil {
		return nil, nil, fmt.Errorf("put a file together: %w", err)
	}
	defer func() {
		if err != nil {
			whole.Close()
		}
	}()
	hash := sha256.New()
	to := io.MultiWriter(whole, hash)
	var written int64
	for _, piece := range pieces {
		n, err := s.copyBlob(ctx, to, pieceName(id, piece))
		if err != nil {
			return nil, nil, fmt.Errorf("put a file together: %w", err)
		}
		written += n
	}
	if written != before {
		return nil, nil, fmt.Errorf("put a file together: there are %d bytes where %d came", written, before)
	}
	if _, err := to.Write(last); err != nil {
		return nil, nil, fmt.Errorf("put a file together: %w", err)
	}
	return whole, hash.Sum(nil), nil
}

func (s *Service) copyBlob(ctx context.Context, to io.Writer, name string) (int64, error) {
	from, err := s.files.Store.Open(ctx, name, 0)
	if err != nil {
		return 0, err
	}
	defer from.Close()
	return io.Copy(to, from)
}

// keepFile stores what others get of a file, and makes it ready.
func (s *Service) keepFile(ctx context.Context, actor Actor, upload *Upload, found *media.File, digest []byte, last int64) error {
	// Named by what came: if this is cut short, the next try writes the same again and leaves nothing behind.
	content, thumbnail := "content-"+hex.EncodeToString(digest), "thumbnail-"+hex.EncodeToString(digest)
	hash := sha256.New()
	size := found.Content.Size()
	if err := s.files.Store.Put(ctx, blobName(upload.ID, content), io.TeeReader(found.Content, hash), size); err != nil {
		return fmt.Errorf("keep a file: %w", err)
	}
	small := media.Thumbnail{}
	var thumbnailName, thumbnailType *string
	if found.Thumbnail != nil {
		small = *found.Thumbnail
		if err := s.files.Store.Put(ctx, blobName(upload.ID, thumbnail), bytes.NewReader(small.Bytes), int64(len(small.Bytes))); err != nil {
			return fmt.Errorf("keep a thumbnail: %w", err)
		}
		thumbnailName, thumbnailType = &thumbnail, &small.MediaType
	}
	var scan *FileScan
	if s.files.scans() {
		pending := ScanPending
		scan = &pending
	}
	const query = `
		UPDATE files SET state = 'READY', charset = $19, name = $4, media_type = $5, size = $6, stored = $6::bigint + $7::bigint, received = received + $8, sha256 = $9,
			width = $10, height = $11, page_count = $12, content = $13, thumbnail = $14, thumbnail_media_type = $15,
			thumbnail_size = $7, thumbnail_width = $16, thumbnail_height = $17, scan = $18, scan_at = now()
		WHERE id = $1 AND state = 'UPLOADING' AND received = $3 AND ` + uploaderIsActive
	if err := s.moveUpload(ctx, query, upload.ID, actor.User.ID, upload.Received, found.Name, found.MediaType, size,
		len(small.Bytes), last, hash.Sum(nil), found.Width, found.Height, found.Pages, content, thumbnailName, thumbnailType,
		small.Width, small.Height, scan, found.Charset); errors.Is(err, ErrUploadMoved) {
		var kept *string
		const query = `SELECT content FROM files WHERE id = $1`
		if looked := s.db.GetContext(ctx, &kept, query, upload.ID); looked == nil && (kept == nil || *kept != content) {
			s.drop(ctx, blobName(upload.ID, content), blobName(upload.ID, thumbnail))
		}
		return err
	} else if err != nil {
		return err
	}
	if scan != nil {
		select {
		case s.files.toScan <- struct{}{}:
		default:
		}
	}
	s.dropPieces(context.WithoutCancel(ctx), upload.ID)
	return nil
}

// dropPieces lets go of all that came of an upload that is over. What is left the sweep finds.
func (s *Service) dropPieces(ctx context.Context, id FileID) {
	ctx, cancel := context.WithTimeout(ctx, mutationTime)
	defer cancel()
	_, err := s.db.ExecContext(ctx, `DELETE FROM file_pieces WHERE file_id = $1`, id)
	if err == nil {
		err = s.files.Store.RemoveAll(ctx, id.String()+piecesFolder)
	}
	if err != nil {
		s.logger.WarnContext(ctx, "pieces of a file are left until the next sweep", "error", Describe(err))
	}
}

// drop lets go of blobs that nothing refers to. What is left goes with the file.
func (s *Service) drop(ctx context.Context, names ...string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), mutationTime)
	defer cancel()
	if err := s.files.Store.Remove(ctx, names...); err != nil {
		s.logger.WarnContext(ctx, "a blob is left until its file goes", "error", Describe(err))
	}
}

// refuseFile writes down why a file is not taken, lets go of its bytes, and returns why.
func (s *Service) refuseFile(ctx context.Context, actor Actor, upload *Upload, why *Error) error {
	const query = `
		UPDATE files SET state = 'REFUSED', refused_code = $4, refused_message = $5, stored = 0
		WHERE id = $1 AND state = 'UPLOADING' AND received = $3 AND ` + uploaderIsActive
	if err := s.moveUpload(ctx, query, upload.ID, actor.User.ID, upload.Received, why.Code, why.Message); err != nil {
		return err
	}
	s.dropPieces(context.WithoutCancel(ctx), upload.ID)
	return why
}

// DropUpload lets go of a file of the actor's that was not sent.
func (s *Service) DropUpload(ctx context.Context, actor Actor, id FileID) error {
	if _, err := s.UploadOf(ctx, actor, id); err != nil {
		return err
	}
	const query = `
		UPDATE files SET state = 'REMOVED' WHERE id = $1 AND message_id IS NULL AND state <> 'REMOVED' AND ` + uploaderIsActive
	if err := s.moveUpload(ctx, query, id, actor.User.ID); errors.Is(err, ErrUploadMoved) {
		return refuse(CodeFileAlreadySent, "The file was sent: recall its message to take it back.")
	} else if err != nil {
		return err
	}
	if err := s.removeFiles(context.WithoutCancel(ctx), []FileID{id}); err != nil {
		s.logger.WarnContext(ctx, "a removed file is left until the next sweep", "error", Describe(err))
	}
	return nil
}

// refusedFile is why an inspection refused a file, as the caller learns it.
func refusedFile(refused *media.Refused) *Error {
	return refuse(ErrorCode("FILE_"+refused.Code), "%s", refused.Sentence)
}
