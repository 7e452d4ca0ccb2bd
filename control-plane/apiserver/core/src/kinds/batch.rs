//! The kinds of `batch`: work that ends.

mod cron_job;
mod failure_policy;
mod job;
mod job_spec;
mod schedule;

pub(super) use cron_job::CronJob;
pub(super) use job::Job;

#[cfg(test)]
mod tests;
