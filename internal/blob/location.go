package blob

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Check returns what is wrong with a location, without looking there. A location is the path of a
// directory, or a bucket of S3 with what all keys begin with:
//
//	s3://bucket/prefix?endpoint=https://s3.example.org:9000&region=us-east-1&presign=false
//
// Without an endpoint it is that of AWS. With presign=false the store gives out no addresses: clients
// can't reach it.
func Check(location string) error {
	_, err := parse(location)
	return err
}

// IsDirectory tells whether a location is a directory, and not a bucket.
func IsDirectory(location string) bool { return !strings.Contains(location, "://") }

// place is a location taken apart.
type place struct {
	directory string

	bucket, prefix string // the prefix ends with "/", or is empty
	host, region   string
	secure         bool
	presign        bool
}

const looksLike = "it looks like s3://bucket/prefix?endpoint=https://s3.example.org:9000&region=us-east-1"

// parse quotes nothing that could be a secret.
func parse(location string) (place, error) {
	if location == "" {
		return place{}, errors.New("the location of the files is empty: it is a directory, or a bucket s3://…")
	}
	scheme, _, isURL := strings.Cut(location, "://")
	if !isURL {
		return place{directory: location}, nil
	}
	if scheme != "s3" {
		return place{}, fmt.Errorf("files can't be kept at %s://: the location is a directory, or a bucket s3://…", scheme)
	}
	at, err := url.Parse(location)
	if err != nil {
		return place{}, errors.New("the location of the bucket can't be read: " + looksLike)
	}
	if at.User != nil {
		return place{}, errors.New("the location of the bucket may not hold credentials: put them into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
	}
	s := place{bucket: at.Host, host: "s3.amazonaws.com", secure: true, presign: true}
	if err := s3utils.CheckValidBucketNameStrict(s.bucket); err != nil {
		return place{}, fmt.Errorf("the location has no proper name of a bucket (%w): %s", err, looksLike)
	}
	if prefix := strings.Trim(at.Path, "/"); prefix != "" {
		for part := range strings.SplitSeq(prefix, "/") {
			if !plain(part) {
				return place{}, errors.New("what follows the bucket may have letters, digits, \"_\", \"-\" and \".\" between its slashes: " + looksLike)
			}
		}
		s.prefix = prefix + "/"
	}
	query, err := url.ParseQuery(at.RawQuery)
	if err != nil || at.Fragment != "" {
		return place{}, errors.New("the location of the bucket can't be read: " + looksLike)
	}
	for key, values := range query {
		if err := s.set(key, values[len(values)-1]); err != nil {
			return place{}, err
		}
	}
	return s, nil
}

func (s *place) set(key, value string) error {
	switch key {
	case "endpoint":
		at, err := url.Parse(value)
		if err != nil || at.Host == "" || at.User != nil || strings.Trim(at.Path, "/") != "" || at.RawQuery != "" || at.Fragment != "" ||
			at.Scheme != "https" && at.Scheme != "http" {
			return errors.New("the endpoint of the bucket is https:// or http:// with a host, a port if need be, and nothing else: " + looksLike)
		}
		s.host, s.secure = at.Host, at.Scheme == "https"
	case "region":
		s.region = value
	case "presign":
		if value != "true" && value != "false" {
			return errors.New("presign of the bucket's location is true or false")
		}
		s.presign = value == "true"
	default:
		return fmt.Errorf("%q of the bucket's location is unknown: it may have endpoint, region and presign", key)
	}
	return nil
}
