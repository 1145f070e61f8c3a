-- A job has a row in `job_queue` exactly as long as it has no outcome. `jobs` says what was asked and how it ended and
-- is written twice in a life; `job_queue` is the life itself: small, and written often.

create table jobs (
  id blob primary key,
  kind text not null,
  queue text not null,
  owner_id blob,
  label text,
  parent_id blob,
  priority integer not null,
  max_attempts integer not null,
  unique_key text,
  turn_key text,
  turn_concurrency integer,
  turn_per_minute integer,
  created_at text not null,
  outcome text check (outcome in ('completed', 'failed', 'cancelled')),
  attempt integer not null default 0,
  progress integer not null default 0,
  step text,
  fence integer not null default 0,
  last_seq integer not null default 1,
  first_seq integer not null default 1,
  started_at text,
  finished_at text,
  cancel_requested_at text,
  error_code text,
  error_message text,
  check ((outcome is null) = (finished_at is null))
);

create index jobs_by_owner on jobs (owner_id, kind, id);
create index jobs_by_parent on jobs (parent_id) where parent_id is not null;

create table job_queue (
  job_id blob primary key,
  queue text not null,
  kind text not null,
  owner_id blob,
  parent_id blob,
  status text not null check (status in ('queued', 'initializing', 'running', 'waiting')),
  -- When it would have been submitted if its priority were 0, in microseconds since 1970: ageing without arithmetic.
  rank integer not null,
  run_at text not null,
  attempt integer not null default 0,
  max_attempts integer not null,
  -- Grows with every claim; whoever holds an older one has lost the job.
  fence integer not null default 0,
  process_id blob,
  deadline_at text,
  crashes integer not null default 0,
  cancel_requested_at text,
  started_at text,
  progress integer not null default 0,
  step text,
  last_seq integer not null default 1,
  turn_key text,
  turn_concurrency integer,
  turn_per_minute integer,
  unique_key text,
  children_left integer not null default 0,
  wakes_with_children boolean not null default false,
  check ((process_id is not null) = (status in ('initializing', 'running')))
) without rowid;

-- Covers the claim: the planner must never be tempted to sort a backlog. (SQLite counts the columns of the condition.)
create index queue_ready on job_queue (queue, rank, job_id, run_at, status, turn_key) where status = 'queued' and turn_key is null;
create index queue_turns on job_queue (queue, turn_key, rank, job_id, run_at) where turn_key is not null;
create index queue_held on job_queue (process_id, queue) where process_id is not null;
create index queue_waiting on job_queue (run_at) where status = 'waiting';

create table job_bodies (
  job_id blob not null,
  part text not null check (part in ('payload', 'result', 'checkpoint')),
  body text not null,
  primary key (job_id, part)
);

-- Archives that came with a request, here so that any process can run the job.
create table job_uploads (
  job_id blob primary key,
  bytes blob not null,
  created_at text not null
);

create table job_events (
  job_id blob not null,
  seq integer not null,
  at text not null,
  name text not null,
  status text not null,
  progress integer not null,
  message text,
  data text,
  primary key (job_id, seq)
) without rowid;

-- Unique jobs (scope 'unique', gone when the job ends) and Idempotency-Keys (scope: the owner, gone with time).
create table job_keys (
  scope text not null,
  name text not null,
  job_id blob not null,
  fingerprint text,
  created_at text not null,
  primary key (scope, name)
);
create index job_keys_by_age on job_keys (created_at) where scope <> 'unique';

create table turn_rates (
  turn_key text primary key,
  next_at text not null
);

create table queues (
  name text primary key,
  paused boolean not null default false
);

create table processes (
  id blob primary key,
  host text not null,
  version text not null,
  started_at text not null,
  beat_at text not null
);

-- Which batch of which lane was committed last: how a process learns whether a commit whose answer was lost happened.
create table batches (
  process_id blob not null,
  lane integer not null,
  number integer not null,
  primary key (process_id, lane)
);
