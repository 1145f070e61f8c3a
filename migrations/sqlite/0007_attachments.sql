-- What a running job adds to its checkpoint, in the same transaction: files that grow, piece by piece. Pieces of one file
-- are in the order of the claim under which they were written, and of their number in it.

create table job_attachments (
  job_id blob not null,
  fence integer not null,
  number integer not null,
  name text not null,
  bytes blob not null,
  primary key (job_id, fence, number)
);
