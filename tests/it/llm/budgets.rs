//! Budgets hold: whatever happens at the same time, in whatever order, on every database.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use codeyard::llm::{Error, Spender};
use codeyard::model::{JobId, UserId};
use codeyard::store::{BudgetFilter, BudgetRow, LlmEnd, LlmHold, LlmUsageBy, LlmUsageFilter, NewLlmCall};
use futures::future::join_all;
use tokio::sync::Semaphore;

use super::{ask, at, only, question};
use crate::support::TestApp;
use crate::support::replay::{Replay, Scripted};

fn user(app: &TestApp) -> UserId {
    UserId(app.app.clock.new_id())
}

fn call(app: &TestApp, who: Option<UserId>, worst_micros: Option<i64>) -> NewLlmCall {
    let now = app.app.clock.now();
    NewLlmCall {
        id: app.app.clock.new_id(),
        user: who,
        project: Some("shop".to_owned()),
        job: None,
        provider: "openai".to_owned(),
        model: "gpt-5-nano".to_owned(),
        started_at: now,
        expires_at: now + TimeDelta::minutes(10),
        cache_miss: false,
        worst_micros,
    }
}

async fn budget(app: &TestApp, who: Option<UserId>, period: &str, limit_micros: i64) -> BudgetRow {
    let now = app.app.clock.now();
    let budget = BudgetRow {
        id: app.app.clock.new_id(),
        user_id: who,
        project: None,
        job_id: None,
        period: period.to_owned(),
        limit_micros,
        spent_micros: 0,
        reserved_micros: 0,
        window_start: now,
        binding: true,
        created_at: now,
    };
    app.app.store.insert_llm_budget(&budget).await.unwrap();
    budget
}

async fn state(app: &TestApp, budget: &BudgetRow) -> (i64, i64) {
    let found = app.app.store.find_llm_budget(budget.id, app.app.clock.now()).await.unwrap().unwrap();
    (found.spent_micros, found.reserved_micros)
}

fn cost(micros: i64) -> LlmEnd {
    LlmEnd { outcome: "answered", cost_micros: Some(micros), output_tokens: 1, ..LlmEnd::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_calls_at_once_do_not_overrun_a_limit_together() {
    for app in TestApp::on_each_database().await {
        let who = user(&app);
        let app = Arc::new(app);
        let own = budget(&app, Some(who), "total", 1000).await;
        let all = budget(&app, None, "month", 700).await;
        let tasks = (0..50).map(|_| {
            let app = Arc::clone(&app);
            tokio::spawn(async move {
                let call = call(&app, Some(who), Some(100));
                let held = app.app.store.hold_llm_call(&call).await.unwrap();
                (held == LlmHold::Held).then_some(call.id)
            })
        });
        let held: Vec<_> = join_all(tasks).await.into_iter().filter_map(Result::unwrap).collect();
        assert_eq!(held.len(), 7, "{}", app.database_name());
        assert_eq!((state(&app, &own).await, state(&app, &all).await), ((0, 700), (0, 700)));
        // Each cost less than it might have; what it did not cost is there again.
        let ends = held.iter().map(|id| {
            let (app, id) = (Arc::clone(&app), *id);
            tokio::spawn(async move {
                app.app.store.end_llm_call(id, &cost(30), app.app.clock.now()).await.unwrap()
            })
        });
        assert!(join_all(ends).await.into_iter().all(Result::unwrap));
        assert_eq!((state(&app, &own).await, state(&app, &all).await), ((210, 0), (210, 0)));
        assert!(
            !app.app.store.end_llm_call(held[0], &cost(30), app.app.clock.now()).await.unwrap(),
            "only once"
        );
        let next = app.app.store.hold_llm_call(&call(&app, Some(who), Some(491))).await.unwrap();
        assert!(matches!(next, LlmHold::Exceeded(short) if short.id == all.id && short.left_micros() == 490));
        assert_eq!(
            (state(&app, &own).await, state(&app, &all).await),
            ((210, 0), (210, 0)),
            "all or nothing"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_for_the_calls_to_which_all_of_it_applies() {
    for app in TestApp::on_each_database().await {
        let (ada, bob) = (user(&app), user(&app));
        let job = JobId(app.app.clock.new_id());
        let put = async |user_id, project: Option<&str>, job_id, limit_micros| {
            let plain = budget(&app, None, "total", 0).await;
            app.app.store.delete_llm_budget(plain.id).await.unwrap();
            let made =
                BudgetRow { user_id, project: project.map(str::to_owned), job_id, limit_micros, ..plain };
            app.app.store.insert_llm_budget(&made).await.unwrap();
            made
        };
        put(Some(ada), None, None, 50).await;
        put(None, Some("shop"), None, 40).await;
        put(Some(ada), Some("shop"), None, 30).await;
        put(None, None, Some(job), 20).await;
        let most = async |user, project: Option<&str>, job| {
            let mut fits = 0;
            for worst in [20, 30, 40, 50, 60] {
                let project = project.map(str::to_owned);
                let wish = NewLlmCall { user, project, job, ..call(&app, None, Some(worst)) };
                if app.app.store.hold_llm_call(&wish).await.unwrap() == LlmHold::Held {
                    app.app.store.end_llm_call(wish.id, &cost(0), app.app.clock.now()).await.unwrap();
                    fits = worst;
                }
            }
            fits
        };
        assert_eq!(most(Some(ada), None, None).await, 50);
        assert_eq!(most(Some(ada), Some("shop"), None).await, 30);
        assert_eq!(most(Some(bob), Some("shop"), None).await, 40);
        assert_eq!(most(Some(bob), Some("other"), Some(job)).await, 20);
        assert_eq!((most(Some(bob), None, None).await, most(None, None, None).await), (60, 60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_day_begins_with_nothing_spent_and_what_is_held_stays_held() {
    for app in TestApp::on_each_database().await {
        let who = user(&app);
        let daily = budget(&app, Some(who), "day", 100).await;
        let (first, second) = (call(&app, Some(who), Some(60)), call(&app, Some(who), Some(40)));
        for call in [&first, &second] {
            assert_eq!(app.app.store.hold_llm_call(call).await.unwrap(), LlmHold::Held);
        }
        app.app.store.end_llm_call(first.id, &cost(60), app.app.clock.now()).await.unwrap();
        assert_eq!(state(&app, &daily).await, (60, 40));
        app.app.clock.advance(Duration::from_secs(24 * 3600));
        assert_eq!(state(&app, &daily).await, (0, 40));
        let third = call(&app, Some(who), Some(60));
        assert_eq!(app.app.store.hold_llm_call(&third).await.unwrap(), LlmHold::Held);
        assert!(matches!(
            app.app.store.hold_llm_call(&call(&app, Some(who), Some(1))).await.unwrap(),
            LlmHold::Exceeded(_)
        ));
        app.app.store.end_llm_call(second.id, &cost(5), app.app.clock.now()).await.unwrap();
        assert_eq!(state(&app, &daily).await, (5, 60));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_holds_comes_back_and_what_it_cost_is_booked_if_it_lived() {
    for app in TestApp::on_each_database().await {
        let who = user(&app);
        let total = budget(&app, Some(who), "total", 100).await;
        let lost = call(&app, Some(who), Some(100));
        assert_eq!(app.app.store.hold_llm_call(&lost).await.unwrap(), LlmHold::Held);
        assert_eq!(app.app.store.expire_llm_calls(app.app.clock.now(), 10).await.unwrap(), 0);
        app.app.clock.advance(Duration::from_secs(601));
        assert_eq!(app.app.store.expire_llm_calls(app.app.clock.now(), 10).await.unwrap(), 1);
        assert_eq!(state(&app, &total).await, (0, 0));
        assert!(app.app.store.end_llm_call(lost.id, &cost(70), app.app.clock.now()).await.unwrap());
        assert_eq!(state(&app, &total).await, (70, 0), "money that is gone is gone");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_unknown_price_is_refused_where_there_is_a_budget_and_made_where_there_is_none() {
    for app in TestApp::on_each_database().await {
        let (ada, bob) = (user(&app), user(&app));
        budget(&app, Some(ada), "total", 100).await;
        assert_eq!(
            app.app.store.hold_llm_call(&call(&app, Some(ada), None)).await.unwrap(),
            LlmHold::Unpriced
        );
        assert_eq!(app.app.store.hold_llm_call(&call(&app, Some(bob), None)).await.unwrap(), LlmHold::Held);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sums_are_made_for_whatever_is_asked() {
    for app in TestApp::on_each_database().await {
        let (ada, bob) = (user(&app), user(&app));
        for (who, model, micros) in [(ada, "a", 5), (ada, "b", 7), (bob, "a", 11)] {
            let call = NewLlmCall { model: model.to_owned(), ..call(&app, Some(who), Some(micros)) };
            app.app.store.hold_llm_call(&call).await.unwrap();
            app.app.store.end_llm_call(call.id, &cost(micros), app.app.clock.now()).await.unwrap();
        }
        let sums = async |filter: LlmUsageFilter, by: &[LlmUsageBy]| {
            app.app.store.llm_usage(&filter, by, 100).await.unwrap()
        };
        let everything = LlmUsageFilter::default;
        let by_model = sums(everything(), &[LlmUsageBy::Model]).await;
        let pairs: Vec<_> = by_model.iter().map(|row| (row.model.as_deref(), row.cost_micros)).collect();
        assert_eq!(pairs, [(Some("a"), 16), (Some("b"), 7)]);
        let of_ada = LlmUsageFilter { user: Some(ada), ..everything() };
        let by_all =
            [LlmUsageBy::Month, LlmUsageBy::User, LlmUsageBy::Project, LlmUsageBy::Job, LlmUsageBy::Outcome];
        let rows = sums(of_ada.clone(), &by_all).await;
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].user_id, rows[0].project.as_deref(), rows[0].calls),
            (Some(ada), Some("shop"), 2)
        );
        let month = app.app.clock.now().format("%Y-%m").to_string();
        assert_eq!(
            (rows[0].time.as_deref(), rows[0].outcome.as_deref()),
            (Some(month.as_str()), Some("answered"))
        );
        let day = app.app.clock.now().format("%Y-%m-%d").to_string();
        assert_eq!(sums(everything(), &[LlmUsageBy::Day]).await[0].time.as_deref(), Some(day.as_str()));
        let later = LlmUsageFilter { from: Some(app.app.clock.now() + TimeDelta::hours(1)), ..everything() };
        assert_eq!(sums(later, &[]).await[0].calls, 0);
        let before: DateTime<Utc> = app.app.clock.now() + TimeDelta::days(1);
        assert_eq!(app.app.store.prune_llm(before, 2).await.unwrap(), 2);
        assert_eq!(app.app.store.prune_llm(before, 2).await.unwrap(), 1);
        assert_eq!(sums(everything(), &[]).await[0].calls, 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_spends_no_more_than_it_may_also_with_fifty_calls_at_once() {
    let replay = Replay::start().await;
    let gate = Arc::new(Semaphore::new(0));
    // All of them are on their way before the first has an answer.
    replay.otherwise(Scripted::words("yes").paused(0, &gate));
    for app in TestApp::on_each_database_with(&at(&replay, &[])).await {
        let before = replay.asked().len();
        let llm = Arc::clone(&app.app.llm);
        let (owner, job) = (user(&app), JobId(app.app.clock.new_id()));
        let who = Spender { user: Some(owner), project: None, job: Some(job) };
        // A call is 100 tokens in and 10 out at 0.05 and 0.4, 9 micro-dollars; at its worst, 1000 out, some 410.
        llm.cap_job(job, Some(owner), 1).await.unwrap();
        llm.cap_job(job, Some(owner), 4200).await.unwrap();
        let request = codeyard::llm::Request { max_tokens: Some(1000), ..question() };
        let calls = (0..50).map(|_| {
            let (llm, who, request) = (Arc::clone(&llm), who.clone(), request.clone());
            tokio::spawn(async move { ask(&llm, &who, &only("openai", "gpt-5-nano"), request).await })
        });
        let calls: Vec<_> = calls.collect();
        let refused = calls.len() - 10;
        let mut done = futures::stream::FuturesUnordered::from_iter(calls);
        let mut answers = Vec::new();
        while let Some(answer) = futures::StreamExt::next(&mut done).await {
            answers.push(answer.unwrap());
            if answers.len() == refused {
                gate.add_permits(10);
            }
        }
        let over =
            answers.iter().filter(|answer| matches!(answer, Err(Error::BudgetExceeded { .. }))).count();
        assert_eq!((over, replay.asked().len() - before), (refused, 10), "{}", app.database_name());
        let filter = BudgetFilter { user: None, job: Some(job) };
        let budgets = app.app.store.llm_budgets(&filter, app.app.clock.now()).await.unwrap();
        assert_eq!(budgets.len(), 1);
        assert_eq!((budgets[0].spent_micros, budgets[0].reserved_micros), (90, 0));
    }
}
