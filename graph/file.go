package graph

import (
	"context"

	"corridor/graph/generated"
	"corridor/internal/chat"
)

// CreateUpload announces a file.
func (r *mutationResolver) CreateUpload(ctx context.Context, input chat.CreateUploadInput) (*generated.CreateUploadPayload, error) {
	file, err := r.chat.CreateUpload(ctx, actor(ctx), input)
	failures, err := userErrors(err)
	return &generated.CreateUploadPayload{File: file, UserErrors: failures}, err
}

// Files are those that were sent with the message.
func (r *messageResolver) Files(ctx context.Context, message *chat.Message) ([]*chat.File, error) {
	if message.FileCount == 0 || message.KnownFiles() != nil {
		return pointers(message.KnownFiles()), nil
	}
	files, err := load(ctx).filesOfMessages.find(ctx, message.ID)
	if err != nil || files == nil {
		return []*chat.File{}, err
	}
	return pointers(*files), nil
}

// Upload is where the bytes of a file go that the viewer announced, and where it is given up.
func (r *fileResolver) Upload(ctx context.Context, file *chat.File) (*generated.FileUpload, error) {
	viewer := actor(ctx).User.ID
	if file.MessageID != nil || file.State == chat.FileRefused || file.UploaderID != viewer {
		return nil, nil
	}
	url, until := r.links.Upload(viewer, file.ID)
	return &generated.FileUpload{URL: url, ExpiresAt: until, ReceivedSize: int(file.Received)}, nil
}

// Download is where the bytes of a file are.
func (r *fileResolver) Download(ctx context.Context, file *chat.File) (*generated.FileDownload, error) {
	return r.download(ctx, file, chat.FileContent)
}

// Thumbnail is where a small picture of a file is.
func (r *fileResolver) Thumbnail(ctx context.Context, file *chat.File) (*generated.FileDownload, error) {
	if !file.HasThumbnail() {
		return nil, nil
	}
	return r.download(ctx, file, chat.FileThumbnail)
}

func (r *fileResolver) download(ctx context.Context, file *chat.File, part chat.FilePart) (*generated.FileDownload, error) {
	if file.Unavailable() != nil {
		return nil, nil
	}
	url, until := r.links.Download(actor(ctx).User.ID, file, part)
	return &generated.FileDownload{URL: url, ExpiresAt: until}, nil
}

// File is the file as it is now.
func (r *fileChangedResolver) File(ctx context.Context, event *chat.FileChanged) (*chat.File, error) {
	return load(ctx).files.find(ctx, event.FileID)
}

// FileSizeLimit is how many bytes a file may have.
func (r *clinicResolver) FileSizeLimit(context.Context, *chat.Clinic) (int, error) {
	return int(r.chat.FileSizeLimit()), nil
}

// FileMediaTypes are the types of files that are taken.
func (r *clinicResolver) FileMediaTypes(context.Context, *chat.Clinic) ([]string, error) {
	return r.chat.FileMediaTypes(), nil
}
