//! Budgets: who may set which, and how they look.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Llm;
use crate::error::{Error, Result};
use crate::model::{Caller, JobId, UserId};
use crate::store::{BudgetFilter, BudgetRow};

/// More budgets than one user needs.
const MOST: i64 = 100;

/// When what was spent is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// Never.
    #[default]
    Total,
    /// At midnight, UTC.
    Day,
    /// On the first of the month, UTC.
    Month,
}

/// A budget to be set: it is for the calls to which all of its user, project and job apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewBudget {
    /// Only calls of this user.
    pub user: Option<UserId>,
    /// Only calls for this project.
    pub project: Option<String>,
    /// Only calls for this job.
    pub job: Option<JobId>,
    /// When what was spent is forgotten.
    pub period: Period,
    /// Micro-dollars that may be spent in each period.
    pub limit_micros: i64,
}

impl Llm {
    /// Sets a budget. Those of a user's own bind nobody else; those of an administrator bind whom it names, or
    /// everybody, and only an administrator may change them.
    pub async fn create_budget(&self, new: NewBudget, by: &Caller) -> Result<BudgetRow> {
        let user = match (by.is_admin(), new.user) {
            (true, user) => user,
            (false, Some(user)) if user != by.user => {
                return Err(Error::Forbidden("only an administrator may set budgets of others"));
            }
            (false, _) => Some(by.user),
        };
        if !by.is_admin() && self.store.count_llm_budgets(by.user).await? >= MOST {
            let message = format!("there are {MOST} budgets already; delete one");
            return Err(Error::conflict("TOO_MANY_BUDGETS", message));
        }
        if new
            .project
            .as_ref()
            .is_some_and(|project| project.is_empty() || project.len() > 200 || project.contains('\0'))
        {
            return Err(Error::invalid("project", "must have 1 to 200 bytes"));
        }
        check_limit(new.limit_micros)?;
        let budget = self.budget(NewBudget { user, ..new }, by.is_admin());
        self.store.insert_llm_budget(&budget).await?;
        Ok(budget)
    }

    /// The budgets that name the caller; for an administrator all, or those of one user or job.
    pub async fn budgets(
        &self,
        user: Option<UserId>,
        job: Option<JobId>,
        by: &Caller,
    ) -> Result<Vec<BudgetRow>> {
        let user = by.confined_to().or(user);
        Ok(self.store.llm_budgets(&BudgetFilter { user, job }, self.clock.now()).await?)
    }

    /// Changes how much a budget allows; what was spent stays.
    pub async fn limit_budget(&self, id: Uuid, limit_micros: i64, by: &Caller) -> Result<BudgetRow> {
        check_limit(limit_micros)?;
        let budget = self.budget_to_change(id, by).await?;
        if !self.store.limit_llm_budget(id, limit_micros).await? {
            return Err(Error::NotFound("budget"));
        }
        Ok(BudgetRow { limit_micros, ..budget })
    }

    /// Removes a budget.
    pub async fn delete_budget(&self, id: Uuid, by: &Caller) -> Result<()> {
        self.budget_to_change(id, by).await?;
        let gone = self.store.delete_llm_budget(id).await?;
        if gone { Ok(()) } else { Err(Error::NotFound("budget")) }
    }

    /// Sees to it that a job spends no more than this, however often it is said.
    pub async fn cap_job(&self, job: JobId, owner: Option<UserId>, limit_micros: i64) -> Result<()> {
        let now = self.clock.now();
        let known = self.store.llm_budgets(&BudgetFilter { user: None, job: Some(job) }, now).await?;
        if let Some(budget) = known.iter().find(|budget| !budget.binding && budget.user_id == owner) {
            self.store.limit_llm_budget(budget.id, limit_micros).await?;
            return Ok(());
        }
        let new =
            NewBudget { user: owner, project: None, job: Some(job), period: Period::Total, limit_micros };
        Ok(self.store.insert_llm_budget(&self.budget(new, false)).await?)
    }

    async fn budget_to_change(&self, id: Uuid, by: &Caller) -> Result<BudgetRow> {
        let found = self.store.find_llm_budget(id, self.clock.now()).await?;
        let seen = found.filter(|budget| by.is_admin() || budget.user_id == Some(by.user));
        let budget = seen.ok_or(Error::NotFound("budget"))?;
        if budget.binding && !by.is_admin() {
            return Err(Error::Forbidden("an administrator has set this budget"));
        }
        Ok(budget)
    }

    fn budget(&self, new: NewBudget, binding: bool) -> BudgetRow {
        let now = self.clock.now();
        BudgetRow {
            id: self.clock.new_id(),
            user_id: new.user,
            project: new.project,
            job_id: new.job,
            period: match new.period {
                Period::Total => "total",
                Period::Day => "day",
                Period::Month => "month",
            }
            .to_owned(),
            limit_micros: new.limit_micros,
            spent_micros: 0,
            reserved_micros: 0,
            window_start: now,
            binding,
            created_at: now,
        }
    }
}

fn check_limit(limit_micros: i64) -> Result<()> {
    /// A billion dollars: sums of such limits do not overflow.
    const MOST: i64 = 1_000_000_000_000_000;
    if (0..=MOST).contains(&limit_micros) {
        return Ok(());
    }
    Err(Error::invalid("limit_micros", format!("must be from 0 to {MOST}, in micro-dollars")))
}
