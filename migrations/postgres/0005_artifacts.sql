-- Files that jobs leave behind. The bytes lie in the object store, under the job's id and their own SHA-256; a row is
-- written before its bytes, so that there are never bytes that nobody knows of, and shown once they are there.

create table artifacts (
  job_id uuid not null,
  path text not null,
  size bigint not null,
  media_type text not null,
  sha256 text not null,
  ready boolean not null default false,
  created_at timestamptz not null,
  primary key (job_id, path)
);

-- Jobs that are gone and whose bytes are not, or not for certain.
create table artifact_remains (
  job_id uuid primary key
);
