-- What models were asked, what it cost, and how much it may. Money is whole micro-dollars.

create table llm_calls (
  id uuid primary key,
  user_id uuid,
  project text,
  job_id uuid,
  provider text not null,
  model text not null,
  started_at timestamptz not null,
  finished_at timestamptz,
  -- `answered`, `cached`, or the code of an error; null while it is under way.
  outcome text,
  -- What its budgets hold for it, and until when at the latest.
  reserved_micros bigint not null,
  expires_at timestamptz not null,
  -- Null: nobody knows the model's price.
  cost_micros bigint,
  -- Whether the tokens are our estimate.
  estimated boolean not null default false,
  -- Whether an earlier answer was looked for and not found.
  cache_miss boolean not null default false,
  input_tokens bigint not null default 0,
  cached_input_tokens bigint not null default 0,
  cache_write_tokens bigint not null default 0,
  output_tokens bigint not null default 0,
  reasoning_tokens bigint not null default 0
);
create index llm_calls_by_user on llm_calls (user_id, id);
create index llm_calls_by_job on llm_calls (job_id, id) where job_id is not null;
create index llm_calls_under_way on llm_calls (expires_at) where outcome is null;

-- A budget is for the calls to which all of its user, project and job apply; without any of them, for all.
create table llm_budgets (
  id uuid primary key,
  user_id uuid,
  project text,
  job_id uuid,
  period text not null check (period in ('total', 'day', 'month')),
  limit_micros bigint not null check (limit_micros >= 0),
  spent_micros bigint not null default 0,
  reserved_micros bigint not null default 0,
  -- When the day or month began that `spent_micros` is about.
  window_start timestamptz not null,
  -- Set by an administrator: whom it binds may not change it.
  binding boolean not null,
  created_at timestamptz not null
);
create index llm_budgets_by_user on llm_budgets (user_id);
create index llm_budgets_by_job on llm_budgets (job_id) where job_id is not null;

-- Which budgets hold something for a call.
create table llm_holds (
  call_id uuid not null,
  budget_id uuid not null,
  primary key (call_id, budget_id)
);

-- Keys of users, encrypted with AES-256-GCM.
create table llm_keys (
  user_id uuid not null,
  provider text not null,
  base_url text not null,
  nonce bytea not null,
  sealed bytea not null,
  created_at timestamptz not null,
  primary key (user_id, provider)
);
