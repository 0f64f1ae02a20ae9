-- Concurrency keys, retries, deadlines that were moved, and what orchestrators have to give.

alter table berth.jobs
    add column concurrency_key text, -- null: none; unique for a tenant
    add column concurrency_max integer,
    add column on_conflict     text check (on_conflict in ('queue', 'reject', 'cancel_running')),
    add column retry_at        timestamptz; -- status retrying: not before

drop index berth.jobs_ready;
create index jobs_ready on berth.jobs (priority desc, created_at) where status in ('queued', 'retrying');
create index jobs_key on berth.jobs (tenant, concurrency_key)
    where concurrency_key is not null
      and status in ('scheduled', 'queued', 'preparing', 'running', 'retrying', 'canceling', 'lost');

alter table berth.attempts
    add column run_extra_ms bigint not null default 0, -- by so much the run deadline was moved, in all
    add column services     text[];                    -- names of its services: proto/stream.h

alter table berth.orchestrators -- null: not told yet
    add column memory_bytes bigint,
    add column memory_used  bigint,
    add column cpus_milli   bigint,
    add column cpus_used    bigint,
    add column lost_after   interval;
