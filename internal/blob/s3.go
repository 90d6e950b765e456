package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// partSize is what goes to S3 in one piece. The pieces are kept while they are sent, so that they can
// be sent again. S3 takes none that are smaller, and at most ten thousand, so a blob has up to 48 GiB.
const partSize = 5 << 20

// s3 is a bucket with a key for each blob.
type s3 struct {
	place
	client minio.Core
	page   int // how many keys are listed at once, 0 for as many as S3 likes
}

func openS3(ctx context.Context, at place, options Options) (*s3, error) {
	given := options.Credentials
	source := credentials.NewStaticV4(given.AccessKey, given.SecretKey, given.SessionToken)
	if given == (Credentials{}) {
		source = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{},
			&credentials.IAM{Client: &http.Client{Timeout: 5 * time.Second}},
		})
	}
	transport, err := minio.DefaultTransport(at.secure)
	if err != nil {
		return nil, err
	}
	client, err := minio.NewCore(at.host, &minio.Options{
		Creds: source, Secure: at.secure, Region: at.region, Transport: transport,
		MaxRetries: 4, // within two seconds or so; somebody waits
	})
	if err != nil {
		return nil, err
	}
	found, err := source.GetWithContext(client.CredContext())
	if err != nil || found.SignerType.IsAnonymous() {
		return nil, errors.New("there are no credentials for S3: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	s := &s3{place: at, client: *client}
	if err := probe(ctx, s); err != nil {
		return nil, s.explain(err)
	}
	return s, nil
}

// explain says what an operator can do about an error.
func (s *s3) explain(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return fmt.Errorf("the bucket %s at %s can't be used: %w: is that the right endpoint, and can it be reached from here?", s.bucket, s.host, err)
	}
	switch answer.Code {
	case minio.NoSuchBucket:
		return fmt.Errorf("there is no bucket %s at %s: make it, or correct the location of the files", s.bucket, s.host)
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken":
		return fmt.Errorf("%s does not accept the credentials (%s): correct AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", s.host, answer.Message)
	case minio.AuthorizationHeaderMalformed, "PermanentRedirect", "IllegalLocationConstraintException":
		return fmt.Errorf("the bucket %s at %s is in another region (%s): put region=… into the location of the files", s.bucket, s.host, answer.Message)
	}
	if answer.StatusCode == http.StatusForbidden {
		return fmt.Errorf("%s does not let these credentials use the bucket %s (%w): allow s3:ListBucket, s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucketMultipartUploads and s3:AbortMultipartUpload", s.host, s.bucket, err)
	}
	return fmt.Errorf("the bucket %s at %s can't be used: %w", s.bucket, s.host, err)
}

func (s *s3) Put(ctx context.Context, name string, from io.Reader, size int64) error {
	if err := checkNames(name); err != nil {
		return err
	}
	if err := s.put(ctx, name, from, size); err != nil {
		return fmt.Errorf("put the blob %s: %w", name, err)
	}
	return nil
}

func (s *s3) put(ctx context.Context, name string, from io.Reader, size int64) error {
	// The checksum is signed with the request, so the signature holds for the bytes too.
	sending := minio.PutObjectOptions{PartSize: partSize, NumThreads: 1, SendContentMd5: true, DisableContentSha256: true}
	from = &exact{ctx, from, size}
	if size <= partSize {
		whole := bytes.NewBuffer(make([]byte, 0, max(size, 0)+bytes.MinRead)) // with room, so that it does not grow
		if _, err := whole.ReadFrom(from); err != nil {
			return err
		}
		from = bytes.NewReader(whole.Bytes())
	}
	_, err := s.client.Client.PutObject(ctx, s.bucket, s.prefix+name, from, size, sending)
	return err
}

func (s *s3) Open(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	if err := checkNames(name); err != nil {
		return nil, err
	}
	if offset < 0 {
		return nil, fmt.Errorf("the offset %d is before the blob", offset)
	}
	return s.get(ctx, name, offset)
}

func (s *s3) get(ctx context.Context, name string, offset int64) (io.ReadCloser, error) {
	var options minio.GetObjectOptions
	if offset > 0 {
		if err := options.SetRange(offset, 0); err != nil {
			return nil, err
		}
	}
	blob, _, _, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, options)
	switch minio.ToErrorResponse(err).Code {
	case minio.NoSuchKey:
		return nil, fmt.Errorf("%s: %w", name, ErrNotFound)
	case minio.InvalidRange:
		return http.NoBody, nil // the offset is at the end or beyond
	}
	if err != nil {
		return nil, fmt.Errorf("open the blob %s: %w", name, err)
	}
	return blob, nil
}

func (s *s3) Remove(ctx context.Context, names ...string) error {
	if err := checkNames(names...); err != nil {
		return err
	}
	return s.remove(ctx, func(yield func(minio.ObjectInfo) bool) {
		for _, name := range names {
			if !yield(minio.ObjectInfo{Key: s.prefix + name}) {
				return
			}
		}
	})
}

func (s *s3) RemoveAll(ctx context.Context, folder string) error {
	if err := checkFolder(folder); err != nil {
		return err
	}
	var listing error
	err := s.remove(ctx, func(yield func(minio.ObjectInfo) bool) {
		for object := range s.list(ctx, folder+"/") {
			if listing = object.Err; listing != nil || !yield(object) {
				return
			}
		}
	})
	return errors.Join(listing, err)
}

func (s *s3) remove(ctx context.Context, objects iter.Seq[minio.ObjectInfo]) error {
	results, err := s.client.RemoveObjectsWithIter(ctx, s.bucket, objects, minio.RemoveObjectsOptions{})
	if err != nil {
		return err
	}
	for result := range results {
		if result.Err != nil && minio.ToErrorResponse(result.Err).Code != minio.NoSuchKey {
			err = errors.Join(err, fmt.Errorf("remove %s: %w", result.ObjectName, result.Err))
		}
	}
	return errors.Join(err, ctx.Err())
}

// list lists all keys that begin with the prefix, in their order.
func (s *s3) list(ctx context.Context, prefix string) iter.Seq[minio.ObjectInfo] {
	return s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true, MaxKeys: s.page})
}

func (s *s3) Folders(ctx context.Context) iter.Seq2[Folder, error] {
	return func(yield func(Folder, error) bool) {
		s.tidy(ctx, leftover)
		var last Folder
		for object := range s.list(ctx, "") {
			if object.Err != nil {
				yield(Folder{}, object.Err)
				return
			}
			folder, _, inFolder := strings.Cut(strings.TrimPrefix(object.Key, s.prefix), "/")
			if !inFolder || !ours(folder) {
				continue
			}
			if last.Name != "" && last.Name != folder && !yield(last, nil) {
				return
			}
			if last.Name != folder {
				last = Folder{Name: folder}
			}
			if object.LastModified.After(last.Changed) {
				last.Changed = object.LastModified
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Folder{}, err)
			return
		}
		if last.Name != "" {
			yield(last, nil)
		}
	}
}

// tidy ends uploads that crashes left behind at some age. They cost space and nothing else, and not
// every S3 can list them, so it does what it can.
func (s *s3) tidy(ctx context.Context, age time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for upload := range s.client.ListIncompleteUploads(ctx, s.bucket, s.prefix, true) {
		if upload.Err != nil {
			return
		}
		if time.Since(upload.Initiated) > age {
			_ = s.client.AbortMultipartUpload(ctx, s.bucket, upload.Key, upload.UploadID)
		}
	}
}

func (s *s3) Address(ctx context.Context, name string, life time.Duration, as Presentation) (string, error) {
	if err := checkNames(name); err != nil {
		return "", err
	}
	if !s.presign {
		return "", nil
	}
	headers := url.Values{}
	if as.ContentType != "" {
		headers.Set("response-content-type", as.ContentType)
	}
	if as.ContentDisposition != "" {
		headers.Set("response-content-disposition", as.ContentDisposition)
	}
	address, err := s.client.PresignedGetObject(ctx, s.bucket, s.prefix+name, life, headers)
	if err != nil {
		return "", fmt.Errorf("the address of the blob %s: %w", name, err)
	}
	return address.String(), nil
}

func (s *s3) Identity(ctx context.Context) (string, error) {
	for range 5 {
		said, err := s.identity(ctx)
		if !errors.Is(err, ErrNotFound) {
			return said, err
		}
		if err := s.makeIdentity(ctx); err != nil {
			return "", fmt.Errorf("make the identity of the bucket %s: %w", s.bucket, err)
		}
	}
	return "", fmt.Errorf("%s of the bucket %s vanishes again and again", identity, s.bucket)
}

func (s *s3) identity(ctx context.Context) (string, error) {
	object, err := s.get(ctx, identity, 0)
	if err != nil {
		return "", err
	}
	defer object.Close()
	said, err := io.ReadAll(io.LimitReader(object, 1<<10))
	if err != nil {
		return "", err
	}
	return readIdentity(said)
}

// makeIdentity puts a new identity, unless another process was faster.
func (s *s3) makeIdentity(ctx context.Context) error {
	made := []byte(uuid.NewString() + "\n")
	sending := minio.PutObjectOptions{SendContentMd5: true, DisableContentSha256: true}
	sending.SetMatchETagExcept("*")
	_, err := s.client.Client.PutObject(ctx, s.bucket, s.prefix+identity, bytes.NewReader(made), int64(len(made)), sending)
	switch minio.ToErrorResponse(err).StatusCode {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return nil
	case http.StatusNotImplemented: // by S3 that knows no conditions: the last one wins
		return s.put(ctx, identity, bytes.NewReader(made), int64(len(made)))
	}
	return err
}

func (s *s3) Scratch() (*os.File, error) { return scratch(os.TempDir()) }
