-- Who may call. Secrets are kept as hashes only: SHA-256 where they are random, Argon2id where a person made them up.

create table users (
  id blob primary key,
  email text not null,
  -- The address in lower case: one account for it, however it is written.
  email_key text not null unique,
  name text not null,
  password_hash text not null,
  role text not null check (role in ('user', 'admin')),
  disabled boolean not null default false,
  -- Grows when all sessions end; an access token that names another number is none.
  epoch integer not null default 0,
  created_at text not null
);

-- A login starts a family; each use of a token marks it as used and adds the next one to the family. A used token
-- stays until it expires, so that its second use is noticed.
create table refresh_tokens (
  hash blob primary key,
  family_id blob not null,
  user_id blob not null,
  created_at text not null,
  expires_at text not null,
  used_at text
);
create index refresh_tokens_by_family on refresh_tokens (family_id);
create index refresh_tokens_by_user on refresh_tokens (user_id);
create index refresh_tokens_by_expiry on refresh_tokens (expires_at);

create table api_keys (
  id blob primary key,
  user_id blob not null,
  name text not null,
  prefix text not null,
  hash blob not null unique,
  scopes integer not null,
  created_at text not null,
  expires_at text,
  last_used_at text,
  revoked_at text
);
create index api_keys_by_user on api_keys (user_id, id);

create table socket_tickets (
  hash blob primary key,
  user_id blob not null,
  scopes integer not null,
  epoch integer not null,
  expires_at text not null
);

-- What the replicas must agree on, such as what they sign tokens with.
create table settings (
  name text primary key,
  value text not null
);
