package chat

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"corridor/internal/blob"
	"corridor/internal/media"
)

// FileState tells how far a file has come.
type FileState string

// The states of files that somebody can see.
const (
	FileUploading FileState = "UPLOADING"
	FileReady     FileState = "READY"
	FileRefused   FileState = "REFUSED"
)

// FileScan is what the search for malware found.
type FileScan string

// What a search for malware may find.
const (
	ScanPending  FileScan = "PENDING"
	ScanClean    FileScan = "CLEAN"
	ScanInfected FileScan = "INFECTED"
	ScanFailed   FileScan = "FAILED"
)

const (
	// MaxFiles is how many files a message has at most.
	MaxFiles = 10
	// MaxUploads is how many files a person may have announced or uploaded that no message refers to.
	MaxUploads = 100
	// unattachedTime is how long a file waits for its message.
	unattachedTime = 24 * time.Hour
)

// File is a file as the actor may see it, from its announcement on.
type File struct {
	ID         FileID    `db:"id"`
	UploaderID UserID    `db:"uploader_id"`
	State      FileState `db:"state"`
	Name       string    `db:"name"`
	MediaType  string    `db:"media_type"`
	// Size is in bytes what was announced, and of a file that is ready what a download gives.
	Size     int64 `db:"size"`
	Received int64 `db:"received"`
	// Digest is the SHA-256 of what a download gives.
	Digest          []byte    `db:"sha256"`
	RefusedCode     *string   `db:"refused_code"`
	RefusedMessage  *string   `db:"refused_message"`
	PictureWidth    int       `db:"width"`
	PictureHeight   int       `db:"height"`
	Pages           int       `db:"page_count"`
	ThumbnailWidth  int       `db:"thumbnail_width"`
	ThumbnailHeight int       `db:"thumbnail_height"`
	Scanned         *FileScan `db:"scan"`
	// MessageID is the message that it was sent with, if it was.
	MessageID *MessageID `db:"message_id"`
	// Sight is by what the actor sees it.
	Sight FileSight `db:"sight"`

	// searched says that only what was found clean is given to anybody.
	searched bool
}

// IsNode makes a file a node in GraphQL.
func (File) IsNode() {}

// Sha256 is the digest in hexadecimal digits, once the file is ready.
func (f File) Sha256() *string {
	if f.Digest == nil {
		return nil
	}
	written := hex.EncodeToString(f.Digest)
	return &written
}

// Width is that of a picture in pixels, as it is shown.
func (f File) Width() *int { return positive(f.PictureWidth) }

// Height is that of a picture in pixels, as it is shown.
func (f File) Height() *int { return positive(f.PictureHeight) }

// PageCount is how many pages a PDF has, if that could be told.
func (f File) PageCount() *int { return positive(f.Pages) }

func positive(n int) *int {
	if n == 0 {
		return nil
	}
	return &n
}

// Scan is what a search for malware found, nil where none is made.
func (f File) Scan() *FileScan {
	switch {
	case f.State != FileReady:
		return nil
	case f.searched && f.Scanned == nil:
		pending := ScanPending // it came before there was a scanner
		return &pending
	}
	return f.Scanned
}

// Refusal is why the server refused the file, if it did.
func (f File) Refusal() *Error {
	if f.State != FileRefused {
		return nil
	}
	return refuse(ErrorCode(*f.RefusedCode), "%s", *f.RefusedMessage)
}

// Unavailable is why nobody gets the bytes of the file now, or nil if those who see it do.
func (f File) Unavailable() *Error {
	switch {
	case f.State == FileRefused:
		return f.Refusal()
	case f.State != FileReady:
		return refuse(CodeFileNotReady, "The file is not uploaded yet.")
	}
	scan := f.Scan()
	switch {
	case scan == nil || *scan == ScanClean:
		return nil
	case *scan == ScanInfected:
		return refuse(CodeFileInfected, "Malware was found in this file.")
	case *scan == ScanFailed:
		return refuse(CodeFileNotScanned, "This file could not be searched for malware.")
	}
	return refuse(CodeFileNotReady, "The file is still being searched for malware.")
}

// HasThumbnail tells whether there is a small picture of it.
func (f File) HasThumbnail() bool { return f.ThumbnailWidth > 0 }

// FileSight is by what a person sees a file. It becomes another one when their membership ends, or begins again: an
// address from before is then worth nothing, and they get a fresh one if they still see the file (E38).
type FileSight string

const fileColumns = `files.id, files.uploader_id, files.state, files.name, files.media_type, files.size, files.received, files.sha256,
	files.refused_code, files.refused_message, files.width, files.height, files.page_count,
	files.thumbnail_width, files.thumbnail_height, files.scan, files.message_id`

// fileColumnsSeen are a file as fileSeen finds it.
const fileColumnsSeen = fileColumns + `,
	COALESCE((SELECT opened_seq || '-' || to_seq FROM spans WHERE reader = $1 AND spans.stream = conversations.stream
		AND messages.seq BETWEEN from_seq AND to_seq ORDER BY to_seq DESC, opened_seq DESC LIMIT 1), 'unsent') AS sight`

// fileSeen keeps what the person $1 may see: their own files until they are sent, and those of messages that
// they may see now (E37).
const fileSeen = `
	FROM files
	LEFT JOIN messages ON messages.id = files.message_id
	LEFT JOIN conversations ON conversations.id = messages.conversation_id
	WHERE files.state <> 'REMOVED' AND CASE
		WHEN files.message_id IS NULL THEN files.uploader_id = $1
		ELSE messages.recalled_at IS NULL AND conversations.deleted_at IS NULL AND EXISTS (
			SELECT FROM spans WHERE reader = $1 AND spans.stream = conversations.stream
				AND messages.seq BETWEEN from_seq AND to_seq)
	END`

// FilesByID returns those of the files that the actor may see.
func (s *Service) FilesByID(ctx context.Context, actor Actor, ids []FileID) (map[FileID]File, error) {
	const query = `SELECT ` + fileColumnsSeen + fileSeen + ` AND files.id = ANY ($2)`
	var rows []File
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("files: %w", err)
	}
	return byKey(s.files.searched(rows), func(f File) FileID { return f.ID }), nil
}

// FilesOfMessages returns the files of those of the messages that the actor may see, in the order in which they
// were sent.
func (s *Service) FilesOfMessages(ctx context.Context, actor Actor, ids []MessageID) (map[MessageID][]File, error) {
	const query = `SELECT ` + fileColumnsSeen + fileSeen + ` AND files.message_id = ANY ($2) ORDER BY files.position`
	var rows []File
	if err := s.find(ctx, &rows, query, actor.User.ID, array(ids)); err != nil {
		return nil, fmt.Errorf("files of messages: %w", err)
	}
	return s.byMessage(rows), nil
}

func (s *Service) byMessage(rows []File) map[MessageID][]File {
	of := map[MessageID][]File{}
	for _, file := range s.files.searched(rows) {
		of[*file.MessageID] = append(of[*file.MessageID], file)
	}
	return of
}

// CreateUploadInput announces a file.
type CreateUploadInput struct {
	ClientKey string
	Name      string
	Size      int64
	MediaType string
	// Sha256 is the digest of what will be sent in hexadecimal digits, if it is known.
	Sha256 *string
}

// CreateUpload announces a file, which makes room for it. Its bytes follow by ReceivePiece, and a message
// refers to it within a day (S24).
func (s *Service) CreateUpload(ctx context.Context, actor Actor, in CreateUploadInput) (*File, error) {
	if s.files == nil {
		return nil, errNoFiles
	}
	name, refused := validFileName(in.Name)
	if refused != nil {
		return nil, refused
	}
	switch {
	case in.Size < 1:
		return nil, refuse(CodeFileEmpty, "The file is empty.").of("size")
	case in.Size > s.files.MaxSize:
		return nil, refuse(CodeFileTooLarge, "The file is too large: a file may have %s.", Megabytes(s.files.MaxSize)).of("size")
	}
	digest, refused := validDigest(in.Sha256)
	if refused != nil {
		return nil, refused
	}
	mediaType, refused := s.files.announced(in.MediaType)
	if refused != nil {
		return nil, refused
	}
	id := FileID{newID()}
	id, err := changeTo(ctx, s, actor, "createUpload", in.ClientKey, in, id, func(ctx context.Context, tx *transaction) error {
		const announce = `
			INSERT INTO files (id, clinic_id, uploader_id, name, media_type, size, stored, announced_sha256)
			SELECT $1, $2, $3, $4, $5, $6, $6, $7 FROM file_store WHERE identity = $8`
		announced, err := tx.ExecContext(ctx, announce, id, actor.Clinic.ID, actor.User.ID, name, mediaType, in.Size, digest, s.files.identity)
		if err != nil {
			return fmt.Errorf("announce a file: %w", err)
		}
		if n, err := announced.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, ErrAnotherStore)
		}
		// Behind the row that counts the clinic's files: others of it wait until this is decided.
		const room = `
			SELECT bytes > file_quota::bigint * 1048576 AS full, (
				SELECT count(*) FROM files
				WHERE uploader_id = $2 AND message_id IS NULL AND state IN ('UPLOADING', 'READY')) AS uploads
			FROM clinic_files JOIN clinics ON clinics.id = clinic_id WHERE clinic_id = $1`
		var found struct {
			Full    bool
			Uploads int
		}
		if err := tx.GetContext(ctx, &found, room, actor.Clinic.ID, actor.User.ID); err != nil {
			return fmt.Errorf("look whether there is room: %w", err)
		}
		switch {
		case found.Full:
			return noRoom(actor.Clinic).of("size")
		case found.Uploads > MaxUploads:
			return refuse(CodeTooManyUploads, "You have %d files that were not sent yet: send some, or wait a day.", MaxUploads)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return s.ownFile(ctx, actor, id)
}

func noRoom(clinic Clinic) *Error {
	whom := clinic.SupportContact
	if whom == "" {
		whom = "whoever runs this chat for you"
	}
	return refuse(CodeFileQuota, "Your clinic has no room for more files. Please tell %s.", whom)
}

// ownFile is a file that the actor just made, or made with the same call before.
func (s *Service) ownFile(ctx context.Context, actor Actor, id FileID) (*File, error) {
	found, err := s.FilesByID(ctx, actor, []FileID{id})
	if err != nil {
		return nil, err
	}
	file, ok := found[id]
	if !ok {
		return nil, notFound("file", "clientKey") // made, and gone since
	}
	return &file, nil
}

// maxFileName is how many characters of a name are read; media keeps fewer of them.
const maxFileName = 1000

// validFileName is a name that no system takes for anything else.
func validFileName(name string) (string, *Error) {
	if len(name) > 4*maxFileName || utf8.RuneCountInString(name) > maxFileName {
		return "", invalid("name", "The name of the file has more than 1000 characters.")
	}
	cleaned, err := media.CleanName(name)
	if err != nil {
		return "", invalid("name", "The name is not valid UTF-8.") // there is nothing else
	}
	return cleaned, nil
}

func validDigest(digest *string) ([]byte, *Error) {
	if digest == nil {
		return nil, nil
	}
	read, err := hex.DecodeString(*digest)
	if err != nil || len(read) != 32 {
		return nil, invalid("sha256", "A SHA-256 has 64 hexadecimal digits.")
	}
	return read, nil
}

// attach makes files of the actor's those of a message that is being sent.
func (tx *transaction) attach(ctx context.Context, actor Actor, conversation ConversationID, message MessageID, ids []FileID) error {
	// In the order of the ids, so that two messages with the same files don't wait for each other.
	const query = `
		WITH wanted AS (
			SELECT files.id, given.position
			FROM unnest($4::uuid[]) WITH ORDINALITY AS given (id, position) JOIN files ON files.id = given.id
			WHERE uploader_id = $1 AND state = 'READY' AND message_id IS NULL
				AND (scan IS NULL OR scan NOT IN ('INFECTED', 'FAILED'))
			ORDER BY files.id FOR UPDATE OF files
		)
		UPDATE files SET message_id = $2, conversation_id = $3, position = wanted.position
		FROM wanted WHERE files.id = wanted.id`
	result, err := tx.ExecContext(ctx, query, actor.User.ID, message, conversation, array(ids))
	if err != nil {
		return fmt.Errorf("attach the files: %w", err)
	}
	attached, err := result.RowsAffected()
	if err != nil || attached == int64(len(ids)) {
		return err
	}
	const why = `
		SELECT ` + fileColumns + ` FROM files
		WHERE uploader_id = $1 AND state <> 'REMOVED' AND id = ANY ($2)`
	var found []File
	if err := tx.SelectContext(ctx, &found, why, actor.User.ID, array(ids)); err != nil {
		return fmt.Errorf("look why files are not attached: %w", err)
	}
	known := byKey(found, func(f File) FileID { return f.ID })
	for i, id := range ids {
		file, ok := known[id]
		field := []string{"fileIds", strconv.Itoa(i)}
		switch {
		case !ok:
			return notFound("file", "fileIds").of(field...)
		case file.MessageID != nil && *file.MessageID == message:
		case file.MessageID != nil:
			return refuse(CodeFileAlreadySent, "The file was sent before: upload it again to send it again.").of(field...)
		case file.Unavailable() != nil:
			return file.Unavailable().of(field...)
		}
	}
	return fmt.Errorf("attach the files: %d of %d", attached, len(ids)) // they changed meanwhile
}

// validFiles is what a message may refer to.
func validFiles(ids []FileID) *Error {
	if len(ids) > MaxFiles {
		return invalid("fileIds", "A message has at most %d files.", MaxFiles)
	}
	seen := make(map[FileID]bool, len(ids))
	for _, id := range ids {
		if seen[id] {
			return invalid("fileIds", "A file stands there twice.")
		}
		seen[id] = true
	}
	return nil
}

// FilePart is the file itself or its small picture.
type FilePart string

// What there is of a file.
const (
	FileContent   FilePart = "content"
	FileThumbnail FilePart = "thumbnail"
)

// Content is what a person gets of a file.
type Content struct {
	Name, MediaType string
	Size            int64
	// Charset is that of a text, empty if it is not known.
	Charset string
	// Tag changes when the bytes do.
	Tag string

	files  *files
	logger *slog.Logger
	blob   string
}

// OpenFile returns what the actor may get of a file at this moment. It is asked anew for each download, and of
// the database that knows what was done last (E37, E38). The sight is that of the file when its address was made.
func (s *Service) OpenFile(ctx context.Context, actor Actor, id FileID, part FilePart, sight FileSight) (*Content, error) {
	if s.files == nil {
		return nil, errNoFiles
	}
	const query = `SELECT ` + fileColumnsSeen + `, files.charset, files.content, files.thumbnail, files.thumbnail_media_type, files.thumbnail_size` + fileSeen + ` AND files.id = $2`
	var found struct {
		File
		Charset            string  `db:"charset"`
		Content            *string `db:"content"`
		Thumbnail          *string `db:"thumbnail"`
		ThumbnailMediaType *string `db:"thumbnail_media_type"`
		ThumbnailSize      int64   `db:"thumbnail_size"`
	}
	err := s.db.GetContext(ctx, &found, query, actor.User.ID, id)
	if errors.Is(err, sql.ErrNoRows) || err == nil && found.Sight != sight {
		return nil, notFound("file", "id")
	}
	if err != nil {
		return nil, fmt.Errorf("find the file: %w", err)
	}
	found.searched = s.files.scans()
	if unavailable := found.Unavailable(); unavailable != nil {
		return nil, unavailable
	}
	content := &Content{Name: found.Name, MediaType: found.MediaType, Size: found.Size, Charset: found.Charset, Tag: hex.EncodeToString(found.Digest), files: s.files, logger: s.logger}
	if part == FileContent {
		content.blob = blobName(id, *found.Content)
		return content, nil
	}
	if found.Thumbnail == nil {
		return nil, notFound("file", "id")
	}
	content.blob, content.MediaType, content.Size = blobName(id, *found.Thumbnail), *found.ThumbnailMediaType, found.ThumbnailSize
	content.Tag += "-thumbnail"
	return content, nil
}

// Open reads it from a place on.
func (c *Content) Open(ctx context.Context, from int64) (io.ReadCloser, error) {
	bytes, err := c.files.Store.Open(ctx, c.blob, from)
	if errors.Is(err, blob.ErrNotFound) {
		c.logger.ErrorContext(ctx, "the bytes of a file are lost", "blob", c.blob)
		return nil, refuse(CodeFileLost, "The bytes of this file are lost. Please tell whoever runs this chat for you.")
	}
	return bytes, err
}

// Address is where it can be fetched without us, empty if it can't. It says what the answer's headers shall be.
func (c *Content) Address(ctx context.Context, life time.Duration, mediaType, disposition string) (string, error) {
	return c.files.Store.Address(ctx, c.blob, life, blob.Presentation{ContentType: mediaType, ContentDisposition: disposition})
}

// blobName is the name of a part of a file in the store.
func blobName(id FileID, part string) string { return id.String() + "/" + part }

// piecesFolder is behind the name of the folder in which an upload waits to be put together.
const piecesFolder = ".pieces"

// pieceName is the name of a piece of an upload in the store.
func pieceName(id FileID, piece string) string { return id.String() + piecesFolder + "/" + piece }

// newBlob is a name in the folder of a file that nobody has used.
func newBlob(kind string) string { return kind + "-" + uuid.NewString() }

// FileUsage is how much a clinic has.
type FileUsage struct {
	Files, Bytes int64
}

// FileUsages returns how much each clinic has. It is for operators: it has no actor.
func (s *Service) FileUsages(ctx context.Context) (map[ClinicID]FileUsage, error) {
	var rows []struct {
		ClinicID ClinicID `db:"clinic_id"`
		FileUsage
	}
	if err := s.db.SelectContext(ctx, &rows, `SELECT clinic_id, files, bytes FROM clinic_files`); err != nil {
		return nil, fmt.Errorf("how much clinics have: %w", err)
	}
	usages := make(map[ClinicID]FileUsage, len(rows))
	for _, row := range rows {
		usages[row.ClinicID] = row.FileUsage
	}
	return usages, nil
}

// Megabyte is what sizes are told in.
const Megabyte = 1 << 20

// Megabytes is a size for people.
func Megabytes(size int64) string {
	if size < Megabyte {
		return fmt.Sprintf("%d bytes", size)
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(size)/Megabyte), ".0") + " MB"
}
