-- What a running job adds to its checkpoint, in the same transaction: files that grow, piece by piece. Pieces of one file
-- are in the order of the claim under which they were written, and of their number in it. `bytes` are never compressed
-- again: most of them are already.

create table job_attachments (
  job_id uuid not null,
  fence bigint not null,
  number integer not null,
  name text not null,
  bytes bytea not null,
  primary key (job_id, fence, number)
);
alter table job_attachments alter column bytes set storage external;
