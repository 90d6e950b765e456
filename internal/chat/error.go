package chat

import (
	"fmt"
	"strings"

	"corridor/internal/postgres"
)

// ErrorCode tells a program what went wrong. Codes are only ever added.
type ErrorCode string

// The codes of what a person can run into. schema.graphqls says what each means.
const (
	CodeInvalid                ErrorCode = "INVALID"
	CodeNotFound               ErrorCode = "NOT_FOUND"
	CodeCursorInvalid          ErrorCode = "CURSOR_INVALID"
	CodeClientKeyConflict      ErrorCode = "CLIENT_KEY_CONFLICT"
	CodeConversationDeleted    ErrorCode = "CONVERSATION_DELETED"
	CodeNotAParticipant        ErrorCode = "NOT_A_PARTICIPANT"
	CodeGroupOnly              ErrorCode = "GROUP_ONLY"
	CodeNotGroupOwner          ErrorCode = "NOT_GROUP_OWNER"
	CodeCannotRemoveOwner      ErrorCode = "CANNOT_REMOVE_OWNER"
	CodeUseLeaveGroup          ErrorCode = "USE_LEAVE_GROUP"
	CodeNotInContactList       ErrorCode = "NOT_IN_CONTACT_LIST"
	CodeParticipantLimit       ErrorCode = "PARTICIPANT_LIMIT"
	CodePersonUnavailable      ErrorCode = "PERSON_UNAVAILABLE"
	CodeOutsideWaitingRoom     ErrorCode = "OUTSIDE_WAITING_ROOM"
	CodeHistoryChoiceForbidden ErrorCode = "HISTORY_CHOICE_FORBIDDEN"
	CodeNotTheSender           ErrorCode = "NOT_THE_SENDER"
	CodeMessageRecalled        ErrorCode = "MESSAGE_RECALLED"
	CodeRateLimited            ErrorCode = "RATE_LIMITED"
	CodeTooManySubscriptions   ErrorCode = "TOO_MANY_SUBSCRIPTIONS"
	CodeFileEmpty              ErrorCode = "FILE_EMPTY"
	CodeFileTooLarge           ErrorCode = "FILE_TOO_LARGE"
	CodeFileNotAllowed         ErrorCode = "FILE_NOT_ALLOWED"
	CodeFileDigestMismatch     ErrorCode = "FILE_DIGEST_MISMATCH"
	CodeFileQuota              ErrorCode = "FILE_QUOTA"
	CodeTooManyUploads         ErrorCode = "TOO_MANY_UPLOADS"
	CodeFileNotReady           ErrorCode = "FILE_NOT_READY"
	CodeFileAlreadySent        ErrorCode = "FILE_ALREADY_SENT"
	CodeFileInfected           ErrorCode = "FILE_INFECTED"
	CodeFileNotScanned         ErrorCode = "FILE_NOT_SCANNED"
	CodeEmailTaken             ErrorCode = "EMAIL_TAKEN"
	CodeTooManyKeys            ErrorCode = "TOO_MANY_KEYS"
	CodeKeyEnded               ErrorCode = "KEY_ENDED"
	CodeKeyReplaced            ErrorCode = "KEY_REPLACED"
	CodeMassDeactivation       ErrorCode = "MASS_DEACTIVATION"
	CodeTooManyWebhooks        ErrorCode = "TOO_MANY_WEBHOOKS"
	CodeBusy                   ErrorCode = "BUSY"
)

// CodeNameTaken is what SCIM can run into besides.
const CodeNameTaken ErrorCode = "NAME_TAKEN"

// The codes of what an upload can run into besides.
const (
	CodeUploadMoved      ErrorCode = "UPLOAD_MOVED"
	CodeFileSizeMismatch ErrorCode = "FILE_SIZE_MISMATCH"
	CodeTooManyPieces    ErrorCode = "TOO_MANY_PIECES"
	CodeFileLost         ErrorCode = "FILE_LOST"
)

// Error is a failure that the caller can do something about. Any other error of this package is
// a fault of ours.
type Error struct {
	// Code is for programs.
	Code ErrorCode
	// Message is a sentence for a person. It repeats nothing that the person may not see.
	Message string
	// Field is the path of the offending part of the input, empty if it is not one part.
	Field []string
}

func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

// Describe is what a log may hold of a fault: of one of Postgres only its code and constraint, for
// its text repeats what is in the rows.
func Describe(fault error) string {
	if code, constraint := postgres.Code(fault); code != "" {
		return strings.TrimSpace("SQLSTATE " + code + " " + constraint)
	}
	return fault.Error()
}

// Unavailable tells whether a fault is that the database is away. What was asked for can be asked for again under the same client key:
// nobody knows whether it was done.
func Unavailable(fault error) bool { return postgres.Unavailable(fault) }

func refuse(code ErrorCode, message string, arguments ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(message, arguments...)}
}

// of says which part of the input it is about.
func (e *Error) of(field ...string) *Error {
	e.Field = field
	return e
}

func invalid(field, message string, arguments ...any) *Error {
	return &Error{Code: CodeInvalid, Message: fmt.Sprintf(message, arguments...), Field: []string{field}}
}

// notFound is the one answer for what does not exist and for what the actor may not see.
func notFound(what, field string) *Error {
	return &Error{Code: CodeNotFound, Message: fmt.Sprintf("There is no such %s.", what), Field: []string{field}}
}

// The texts of the product's page, to the letter.
const (
	textYouLeft        = "You left the group."
	textYouWereRemoved = "You were removed from the group."
	textCannotSend     = "You cannot send chat to this group."
	textGroupDeleted   = "This group was deleted."
	textOnlyOwner      = "Only the group owner can delete a group chat."
	textNotInContacts  = "This person is not in your contact list."
)
