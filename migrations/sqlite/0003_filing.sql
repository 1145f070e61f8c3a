-- What a job is filed under: the project it is for, and tags.

alter table jobs add column project text;
create index jobs_by_project on jobs (project, owner_id, id) where project is not null;

create table job_tags (
  job_id blob not null,
  tag text not null,
  primary key (job_id, tag)
) without rowid;
create index jobs_by_tag on job_tags (tag, job_id);

-- What the log calls the request that submitted the job, for the lines of its run.
alter table job_queue add column request_id text;
