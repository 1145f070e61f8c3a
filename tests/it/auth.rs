//! Who may call: sessions, keys, tickets, accounts.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use codeyard::auth::{Auth, Credentials, Secret};
use codeyard::config::Config;
use codeyard::error::Error;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::{PASSWORD, TestApp};

const ME: &str = "/api/v1/users/me";
const KEYS: &str = "/api/v1/api-keys";

#[tokio::test]
async fn an_account_is_made_signs_in_and_sees_itself() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("Ada@Example.com").await;
        let me = app.get(ME).bearer(&ada.access).await.expect(200);
        assert_eq!(
            (&me["email"], &me["name"], &me["role"]),
            (&"Ada@Example.com".into(), &"Ada".into(), &"user".into())
        );
        assert!(me.get("password_hash").is_none(), "{me}");

        let again = app.sign_in("ada@example.COM", PASSWORD).await;
        assert_eq!((&again["token_type"], &again["expires_in"]), (&"Bearer".into(), &900.into()));
        let taken = json!({"email": "ADA@example.com", "password": PASSWORD});
        assert_eq!(app.post("/api/v1/auth/register", taken).await.refused(409), "EMAIL_TAKEN");
    }
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let field = async |body: Value| {
        let answer = app.post("/api/v1/auth/register", body).await.expect(422);
        answer["error"]["details"]["fields"][0]["field"].as_str().unwrap().to_owned()
    };
    assert_eq!(field(json!({"email": "nobody", "password": PASSWORD})).await, "email");
    assert_eq!(field(json!({"email": "a@b.c", "password": "short"})).await, "password");
    assert_eq!(field(json!({"email": "ada@example.com", "password": "ADA@example.com"})).await, "password");
    assert_eq!(field(json!({"email": "a@b.c", "password": PASSWORD, "name": "a\u{0}b"})).await, "name");
    assert_eq!(field(json!({"email": "a@b.c", "password": PASSWORD, "rol": "admin"})).await, "rol");
    assert_eq!(field(json!({"email": "a@b.c"})).await, "password");
    assert_eq!(
        app.post("/api/v1/auth/login", json!({})).body("application/json", "{").await.refused(400),
        "MALFORMED_REQUEST"
    );
    let text = app.post("/api/v1/auth/login", json!({})).body("text/plain", "{}").await;
    assert_eq!(text.refused(415), "UNSUPPORTED_MEDIA_TYPE");
    let large = app.post("/api/v1/auth/login", json!({"email": "x".repeat(3_000_000)})).await;
    assert_eq!(large.refused(413), "PAYLOAD_TOO_LARGE");
}

#[tokio::test]
async fn registration_can_be_closed() {
    let app = TestApp::with(&[("auth.registration", "false")]).await;
    let asked = json!({"email": "ada@example.com", "password": PASSWORD});
    assert_eq!(app.post("/api/v1/auth/register", asked).await.refused(403), "FORBIDDEN");
}

#[tokio::test]
async fn neither_answer_nor_time_tells_whether_an_account_exists() {
    let app = TestApp::with(&[("auth.login_attempts_per_minute", "0")]).await;
    app.sign_up("ada@example.com").await;
    let mut best = HashMap::from([("ada@example.com", Duration::MAX), ("nobody@example.com", Duration::MAX)]);
    let mut answers = Vec::new();
    // The fastest of each counts; on a busy machine it takes some rounds until both were undisturbed.
    for _ in 0..40 {
        for (email, fastest) in &mut best {
            let started = Instant::now();
            let ask = json!({"email": email, "password": "wrong password"});
            let answer = app.post("/api/v1/auth/login", ask).await;
            *fastest = started.elapsed().min(*fastest);
            let mut body = answer.expect(401);
            body["error"]["request_id"] = Value::Null;
            answers.push(body);
        }
        if alike(&best) {
            break;
        }
    }
    assert!(alike(&best), "{best:?}");
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

fn alike(times: &HashMap<&str, Duration>) -> bool {
    let (least, most) = (times.values().min(), times.values().max());
    least.zip(most).is_some_and(|(least, most)| *least * 2 > *most)
}

#[tokio::test]
async fn guesses_are_limited_for_the_account_and_for_the_address() {
    let app = TestApp::with(&[("auth.login_attempts_per_minute", "3")]).await;
    app.sign_up("ada@example.com").await;
    app.app.clock.advance(Duration::from_secs(60));
    let guess = async |email: &str, from: &str| {
        app.post("/api/v1/auth/login", json!({"email": email, "password": "wrong password"})).from(from).await
    };
    for from in ["10.0.0.1", "10.0.0.2", "10.0.0.3"] {
        guess("ada@example.com", from).await.expect(401);
    }
    assert_eq!(guess("ADA@example.com", "10.0.0.4").await.refused(429), "RATE_LIMITED");
    for n in 0..3 {
        guess(&format!("{n}@example.com"), "10.0.0.5").await.expect(401);
    }
    assert_eq!(guess("other@example.com", "10.0.0.5").await.header("retry-after"), "20");
    app.app.clock.advance(Duration::from_secs(20));
    app.sign_in("ada@example.com", PASSWORD).await;
}

#[tokio::test]
async fn an_access_token_expires_and_a_refresh_token_renews_it() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        app.app.clock.advance(Duration::from_secs(15 * 60));
        assert_eq!(app.get(ME).bearer(&ada.access).await.refused(401), "UNAUTHENTICATED");
        let renewed =
            app.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await.expect(200);
        app.get(ME).bearer(renewed["access_token"].as_str().unwrap()).await.expect(200);
        app.app.clock.advance(Duration::from_secs(30 * 24 * 3600));
        let late = json!({"refresh_token": renewed["refresh_token"]});
        app.post("/api/v1/auth/refresh", late).await.refused(401);
    }
}

#[tokio::test]
async fn the_second_use_of_a_refresh_token_ends_the_session() {
    for app in TestApp::on_each_database().await {
        let refresh =
            async |token: &Value| app.post("/api/v1/auth/refresh", json!({"refresh_token": token})).await;
        let (first, other) =
            (app.sign_up("ada@example.com").await, app.sign_in("ada@example.com", PASSWORD).await);
        let first = json!(first.refresh);
        let second = refresh(&first).await.expect(200)["refresh_token"].clone();
        refresh(&first).await.refused(401);
        let third = refresh(&second).await.expect(200)["refresh_token"].clone();
        app.app.clock.advance(Duration::from_secs(11));
        refresh(&first).await.refused(401);
        refresh(&third).await.refused(401);
        refresh(&other["refresh_token"]).await.expect(200);
    }
}

#[tokio::test]
async fn of_many_refreshes_at_once_exactly_one_wins_and_its_session_goes_on() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        let asks: Vec<_> = (0..8)
            .map(|_| app.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).into_future())
            .collect();
        let mut answers = futures::future::join_all(asks).await;
        answers.sort_by_key(|answer| answer.status);
        let statuses: Vec<_> = answers.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses, [200, 401, 401, 401, 401, 401, 401, 401], "{}", app.database_name());
        let winner = json!({"refresh_token": answers.remove(0).expect(200)["refresh_token"]});
        app.post("/api/v1/auth/refresh", winner).await.expect(200);
    }
}

#[tokio::test]
async fn logging_out_ends_the_session_and_doing_it_twice_is_the_same() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        let token = json!({"refresh_token": ada.refresh});
        app.post("/api/v1/auth/logout", &token).await.expect(204);
        app.post("/api/v1/auth/logout", &token).await.expect(204);
        app.post("/api/v1/auth/refresh", &token).await.refused(401);
    }
}

#[tokio::test]
async fn a_new_password_needs_the_old_one_and_ends_all_sessions() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        let change = |body: Value| app.patch(ME, body).bearer(&ada.access);
        let new = "another good password";
        change(json!({"password": new})).await.refused(422);
        change(json!({"password": new, "current_password": "wrong password"})).await.refused(422);
        let renamed = change(json!({"name": "Ada L."})).await.expect(200);
        assert_eq!(renamed["name"], "Ada L.");
        change(json!({"password": new, "current_password": PASSWORD})).await.expect(200);
        app.get(ME).bearer(&ada.access).await.refused(401);
        app.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await.refused(401);
        app.sign_in("ada@example.com", new).await;
    }
}

/// A mail server that takes what it is given; the words of each mail come out of the receiver.
async fn mail_server() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("smtp://{}", listener.local_addr().unwrap());
    let (sender, mails) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let sender = sender.clone();
            tokio::spawn(async move {
                let (reader, mut writer) = socket.into_split();
                let mut lines = BufReader::new(reader).lines();
                writer.write_all(b"220 here\r\n").await.unwrap();
                let mut mail: Option<String> = None;
                while let Ok(Some(line)) = lines.next_line().await {
                    let answer = match (&mut mail, line.as_str()) {
                        (Some(_), ".") => {
                            sender.send(mail.take().unwrap()).unwrap();
                            "250 taken"
                        }
                        (Some(text), line) => {
                            text.push_str(line);
                            text.push('\n');
                            continue;
                        }
                        (None, "DATA") => {
                            mail = Some(String::new());
                            "354 go on"
                        }
                        _ => "250 yes",
                    };
                    if writer.write_all(format!("{answer}\r\n").as_bytes()).await.is_err() {
                        return;
                    }
                }
            });
        }
    });
    (url, mails)
}

/// The token in a mail, put together again where the mail's encoding has broken its line.
fn token_in(mail: &str) -> String {
    let body = mail.split_once("\n\n").unwrap().1.replace("=\n", "").replace("=3D", "=");
    body.split_whitespace()
        .find(|word| word.matches('.').count() == 2 && word.len() > 100)
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once_by_whoever_reads_the_mail() {
    let (url, mut mails) = mail_server().await;
    for app in TestApp::on_each_database_with(&[("mail.server", &url)]).await {
        let ada = app.sign_up("ada@example.com").await;
        let forgot = |email: &str| app.post("/api/v1/auth/password/forgot", json!({ "email": email }));
        let reset = |token: &str, password: &str| {
            app.post("/api/v1/auth/password/reset", json!({"token": token, "password": password}))
        };
        // Nobody of this name has an account, and the answer does not tell.
        let unknown = forgot("eve@example.com").await;
        let known = forgot("Ada@Example.com").await;
        assert_eq!((unknown.status, unknown.text()), (known.status, known.text()));
        known.expect(202);
        let mail = mails.recv().await.unwrap();
        assert!(mail.contains("To: ada@example.com") && mails.try_recv().is_err(), "{mail}");
        let token = token_in(&mail);

        assert_eq!(reset(&token, "short").await.refused(422), "VALIDATION_FAILED");
        assert_eq!(reset(&ada.access, "another good password").await.refused(422), "VALIDATION_FAILED");
        app.get(ME).bearer(&token).await.refused(401);
        reset(&token, "another good password").await.expect(204);
        app.sign_in("ada@example.com", "another good password").await;
        app.get(ME).bearer(&ada.access).await.refused(401);
        assert_eq!(reset(&token, "a third good password").await.refused(422), "VALIDATION_FAILED");

        forgot("ada@example.com").await.expect(202);
        let late = token_in(&mails.recv().await.unwrap());
        app.advance(Duration::from_secs(30 * 60));
        assert_eq!(reset(&late, "a third good password").await.refused(422), "VALIDATION_FAILED");
    }
    let silent = TestApp::start().await;
    let refused = silent.post("/api/v1/auth/password/forgot", json!({"email": "ada@example.com"})).await;
    assert_eq!(refused.refused(503), "NO_MAIL_CONFIGURED");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_administrators_who_step_down_at_once_one_remains() {
    for app in TestApp::on_each_database().await {
        let root = app.admin().await;
        let other = app.sign_up("ada@example.com").await;
        let demote =
            |id| app.patch(&format!("/api/v1/users/{id}"), json!({"role": "user"})).bearer(&root.access);
        // The first start made another one.
        let listed = app.get("/api/v1/users").bearer(&root.access).await.expect(200);
        let first =
            listed["users"].as_array().unwrap().iter().find(|user| user["email"] == "admin@localhost");
        if let Some(first) = first {
            demote(first["id"].as_str().unwrap().parse().unwrap()).await.expect(200);
        }
        let promoted = app.patch(&format!("/api/v1/users/{}", other.id), json!({"role": "admin"}));
        promoted.bearer(&root.access).await.expect(200);
        let (one, two) = tokio::join!(demote(root.id), demote(other.id));
        let mut answers = [one.status, two.status];
        answers.sort_unstable();
        assert!(matches!(answers, [200, 403 | 409]), "{answers:?}");
    }
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_until_it_is_revoked() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        let made =
            app.post(KEYS, json!({"name": "ci", "scopes": ["read"]})).bearer(&ada.access).await.expect(201);
        let (key, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
        assert!(key.starts_with("cy_") && key.len() > 50, "{key}");
        app.get(ME).bearer(key).await.expect(200);
        app.get(ME).header("x-api-key", key).await.expect(200);
        assert_eq!(app.patch(ME, json!({"name": "Eve"})).bearer(key).await.refused(403), "FORBIDDEN");
        app.post(KEYS, json!({"name": "more"})).bearer(key).await.refused(403);
        app.post("/api/v1/ws-ticket", json!({})).bearer(key).await.expect(201);

        let listed = app.get(KEYS).bearer(&ada.access).await;
        assert!(!listed.text().contains(key) && listed.text().contains(&key[..11]));
        assert!(listed.expect(200)["api_keys"][0]["last_used_at"].is_string());

        let eve = app.sign_up("eve@example.com").await;
        app.delete(&format!("{KEYS}/{id}")).bearer(&eve.access).await.refused(404);
        app.delete(&format!("{KEYS}/{id}")).bearer(&ada.access).await.expect(204);
        app.get(ME).bearer(key).await.refused(401);
    }
}

#[tokio::test]
async fn a_key_expires_and_gives_nobody_more_than_its_maker_has() {
    let app = TestApp::start().await;
    let ada = app.sign_up("ada@example.com").await;
    let soon = app.app.clock.now() + Duration::from_secs(60);
    let make = |body: Value| app.post(KEYS, body).bearer(&ada.access);
    make(json!({"name": "x", "scopes": ["admin"]})).await.refused(403);
    make(json!({"name": "x", "scopes": []})).await.refused(422);
    make(json!({"name": "", "scopes": ["read"]})).await.refused(422);
    make(json!({"name": "x", "expires_at": "2001-01-01T00:00:00Z"})).await.refused(422);
    let key =
        make(json!({"name": "x", "expires_at": soon})).await.expect(201)["key"].as_str().unwrap().to_owned();
    app.get(ME).bearer(&key).await.expect(200);
    app.post(KEYS, json!({"name": "y", "scopes": ["read", "admin"]})).bearer(&key).await.refused(403);
    app.app.clock.advance(Duration::from_secs(60));
    app.get(ME).bearer(&key).await.refused(401);
}

#[tokio::test]
async fn a_disabled_account_is_out_at_once_here_and_within_fifteen_seconds_elsewhere() {
    for app in TestApp::on_each_database().await {
        let (admin, ada) = (app.admin().await, app.sign_up("ada@example.com").await);
        let elsewhere = Auth::open(&app.app.config.auth, app.app.store.clone(), app.app.clock.clone(), None)
            .await
            .unwrap();
        elsewhere.verify(&ada.access).await.unwrap();
        app.get(ME).bearer(&ada.access).await.expect(200);

        let disable = app.patch(&format!("/api/v1/users/{}", ada.id), json!({"disabled": true}));
        disable.bearer(&admin.access).await.expect(200);
        app.get(ME).bearer(&ada.access).await.refused(401);
        assert!(elsewhere.verify(&ada.access).await.is_ok(), "known from before");
        app.app.clock.advance(Duration::from_secs(15));
        assert!(matches!(elsewhere.verify(&ada.access).await, Err(Error::Unauthenticated(_))));
        let sign_in = json!({"email": "ada@example.com", "password": PASSWORD});
        app.post("/api/v1/auth/login", sign_in).await.refused(401);
    }
}

#[tokio::test]
async fn administrators_manage_accounts_and_others_do_not() {
    for app in TestApp::on_each_database().await {
        let (admin, ada) = (app.admin().await, app.sign_up("ada@example.com").await);
        let users = "/api/v1/users";
        app.get(users).bearer(&ada.access).await.refused(403);
        app.get(users).await.refused(401);

        let bob = json!({"email": "bob@example.com", "password": PASSWORD, "role": "admin"});
        let bob = app.post(users, bob).bearer(&admin.access).await.expect(201);
        let page = app.get("/api/v1/users?limit=2&offset=1").bearer(&admin.access).await.expect(200);
        assert_eq!((&page["total"], page["users"].as_array().unwrap().len()), (&3.into(), 2));
        app.get("/api/v1/users?limit=0").bearer(&admin.access).await.refused(422);
        app.get("/api/v1/users?page=1").bearer(&admin.access).await.refused(422);

        let one = format!("{users}/{}", bob["id"].as_str().unwrap());
        app.patch(&one, json!({"role": "user", "password": "reset by the admin"}))
            .bearer(&admin.access)
            .await
            .expect(200);
        assert_eq!(app.get(&one).bearer(&admin.access).await.expect(200)["role"], "user");
        app.sign_in("bob@example.com", "reset by the admin").await;
        let own = format!("{users}/{}", admin.id);
        let step_down = app.patch(&own, json!({"role": "user"})).bearer(&admin.access).await;
        assert_eq!(step_down.refused(409), "LAST_ADMIN");
        app.get(&format!("{users}/not-an-id")).bearer(&admin.access).await.refused(404);
    }
}

#[tokio::test]
async fn a_demoted_administrator_loses_its_powers_although_its_token_still_says_admin() {
    let app = TestApp::start().await;
    let admin = app.admin().await;
    let other = json!({"email": "bob@example.com", "password": PASSWORD, "role": "admin"});
    app.post("/api/v1/users", other).bearer(&admin.access).await.expect(201);
    let own = format!("/api/v1/users/{}", admin.id);
    app.patch(&own, json!({"role": "user"})).bearer(&admin.access).await.expect(200);
    app.get("/api/v1/users").bearer(&admin.access).await.refused(403);
    app.get(ME).bearer(&admin.access).await.expect(200);
}

#[tokio::test]
async fn a_ticket_is_good_once_and_for_half_a_minute() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        let ticket = async || {
            let answer = app.post("/api/v1/ws-ticket", json!({})).bearer(&ada.access).await.expect(201);
            answer["ticket"].as_str().unwrap().to_owned()
        };
        let (used, late) = (ticket().await, ticket().await);
        assert_eq!(app.app.auth.redeem_ticket(&used).await.unwrap().user, ada.id);
        assert!(app.app.auth.redeem_ticket(&used).await.is_err());
        app.app.clock.advance(Duration::from_secs(30));
        assert!(app.app.auth.redeem_ticket(&late).await.is_err());
    }
}

#[tokio::test]
async fn the_first_start_makes_one_administrator_and_a_second_start_makes_none() {
    for app in TestApp::on_each_database().await {
        let auth = &app.app.auth;
        let (one, other) = tokio::join!(auth.first_admin(), auth.first_admin());
        let made: Vec<_> = [one.unwrap(), other.unwrap()].into_iter().flatten().collect();
        assert_eq!(made.len(), 1, "{}", app.database_name());
        assert!(auth.first_admin().await.unwrap().is_none());
        let with = Credentials { email: made[0].email.clone(), password: made[0].password.clone() };
        let session = auth.login(&with, [127, 0, 0, 1].into()).await.unwrap();
        assert!(auth.verify(session.access_token.expose()).await.unwrap().is_admin());
        assert!(!format!("{made:?} {session:?}").contains(session.access_token.expose()));
    }
}

#[tokio::test]
async fn replicas_sign_with_one_secret_that_the_first_of_them_made() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        let other = Auth::open(&app.app.config.auth, app.app.store.clone(), app.app.clock.clone(), None)
            .await
            .unwrap();
        assert_eq!(other.verify(&ada.access).await.unwrap().user, ada.id);
        let own_secret = Config::load(None, [], [("auth.jwt_secret".to_owned(), "z".repeat(32))]).unwrap();
        let stranger =
            Auth::open(&own_secret.auth, app.app.store.clone(), app.app.clock.clone(), None).await.unwrap();
        assert!(stranger.verify(&ada.access).await.is_err());
    }
}

#[tokio::test]
async fn a_key_file_signs_with_its_own_algorithm() {
    let dir = tempfile::tempdir().unwrap();
    for (name, pem, algorithm) in [("ed25519", ED25519, "EdDSA"), ("rsa", RSA, "RS256")] {
        let file = dir.path().join(name);
        std::fs::write(&file, pem).unwrap();
        let app = TestApp::with(&[("auth.jwt_key_file", file.to_str().unwrap())]).await;
        let ada = app.sign_up("ada@example.com").await;
        app.get(ME).bearer(&ada.access).await.expect(200);
        let header = jsonwebtoken::decode_header(&ada.access).unwrap();
        assert_eq!(format!("{:?}", header.alg), algorithm);
    }
}

#[tokio::test]
async fn a_token_from_the_command_line_is_good_as_long_as_it_says() {
    let app = TestApp::start().await;
    app.sign_up("ada@example.com").await;
    let token = app.app.auth.token_for("ada@example.com", chrono::TimeDelta::hours(12)).await.unwrap();
    app.app.clock.advance(Duration::from_secs(11 * 3600));
    app.get(ME).bearer(token.expose()).await.expect(200);
    assert!(app.app.auth.token_for("nobody@example.com", chrono::TimeDelta::hours(1)).await.is_err());
}

#[tokio::test]
async fn what_has_expired_is_pruned_and_the_rest_stays() {
    for app in TestApp::on_each_database().await {
        let ada = app.sign_up("ada@example.com").await;
        app.post("/api/v1/ws-ticket", json!({})).bearer(&ada.access).await.expect(201);
        assert_eq!(app.app.store.prune_accounts(app.app.clock.now()).await.unwrap(), 0);
        app.app.clock.advance(Duration::from_secs(60));
        assert_eq!(app.app.store.prune_accounts(app.app.clock.now()).await.unwrap(), 1, "the ticket");
        app.post("/api/v1/auth/refresh", json!({"refresh_token": ada.refresh})).await.expect(200);
        app.app.clock.advance(Duration::from_secs(31 * 24 * 3600));
        assert_eq!(
            app.app.store.prune_accounts(app.app.clock.now()).await.unwrap(),
            2,
            "the used token and its heir"
        );
    }
}

#[tokio::test]
async fn garbage_is_no_credential_and_does_no_harm() {
    let app = TestApp::start().await;
    for garbage in ["x", "a.b.c", "cy_", "cy_1_2", "....", "é", "cy_\u{1}"] {
        let Ok(value) = axum::http::HeaderValue::from_str(&format!("Bearer {garbage}")) else { continue };
        let answer = app.get(ME).header("authorization", &String::from_utf8_lossy(value.as_bytes())).await;
        assert_eq!(answer.header("www-authenticate"), "Bearer", "{garbage}");
        assert_eq!(answer.refused(401), "UNAUTHENTICATED", "{garbage}");
        app.get("/api/health/").bearer("garbage").await.expect(200);
    }
    assert!(app.app.auth.verify(Secret::random().unwrap().expose()).await.is_err());
}

const ED25519: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEID2JUmA9yhkcFGSfBgnzkm5svkIcAzNLaRU8DiFwvV1S
-----END PRIVATE KEY-----";
const RSA: &str = "-----BEGIN PRIVATE KEY-----
MIIEvwIBADANBgkqhkiG9w0BAQEFAASCBKkwggSlAgEAAoIBAQDcrNocR3g5GjMt
7q5O6yaK0yYWJBEDxn6KQo3GlJpKogw4svcCO/oIZBIM/mqBsfDVGI91UY/Q3r0Z
4J4cLwQIRTLednUnAd9eeaFHM88VduVLyuqLf9nC+7uClV0S3z+tsNve8T2FGY9L
IM722E/idA41hKhJK11lnnZ0BX9BsqvYMJ+cYCwwvpBcwwtCO0re9WvF+TQsAAMZ
XbVr0OAetJJ9Jh061tfyUfqFqQ+8aMr1ps96DnDaQGeGky5U37lQBkHL6WpAwZxn
SKb9XRm6Oq6h/6mEbSPvuKf4E0pbuWTXw20tssPoYqUb7FyMbXLJkKPHpqs/MNCr
9LrJJGxLAgMBAAECggEAHCctOFhh3R8bkmuV71mOtD1V6ZM2XH3xXOA6yC/jM0xT
NNSYML/IGVPy/ZdjrSIvcHBOtQ/vwhz4kRmX8k6JPCjf4YPJVG2nupzX14ajj8B4
Zl//5kYsWPTWqkU195dlv1oF4v5x884b+uC3psRYBLL7sRY4hgUzSCicQhcFcjMF
da1XkfqfE+wqbXBrtPkpF4U6j9crASZYd0N+Dz/Nse8Ye8tQZLhRv7R42TKYHC4v
GAjPt7+7KPfUaMEvhlUAi5yU19SzIHqdhRVESiT/syjJirYD0drPxsRKE9umnKVx
AvQ4s2vSAZ1t0Gq8/NzC2dRU8B0rP9yH15O/1EzBqQKBgQD9g5j42GN4H5cD+UcB
Gyv4EoIB+9kSawRDkIeIjbFzIxobf4hw1sCW/29CxL/vjUXZ9Nc68GaZ5edU7Nom
7ioLNUsh/PDG+rBngoCcysa+QeQ13STZw8DX+fJ63fIVzz4Iz3ik/Wg2Gs49nLuD
utCO4jddtlKOX51qktvpnuM2fQKBgQDe1tF7XpqZt/SuO+ZPvGuTE4ls4UAp082O
jp/wteT6HF8VQqLH6nLzov7epiL8JzpbJnltg0X0ogP5BCof4UoXSk7YBsWZKgdY
+KjEYAv3lpLkEi38Pr10TB2oVh6OxZ00CGB4aH2U5KcRfp9tkzCSQdICS68Rmtgl
Ze5ObFeAZwKBgQCit+Hq73FA+/3BVjIF+rvJGZAK1+znjnsJJu5nbpMUVNaACea4
jo7FHKT8VS7hAmtwT2AKe51PcKp/7xrC3CFuWkGkSib9gJDTj4cfnGPeYIqrLAto
HuZbehnyVRz6dK/blddZBzHpcGEqWLxe+/y7iWWCJ/FrYuG2MxcmJ46tPQKBgQCx
o+YSxvPPnsm7K50J61aGRIjE9zvDHEk9X404wofqqjtSI3DIlalVd5Zdv2scP9lR
WHZsSr21qoIoPJ2oFFyP/Hil1aAn3U1GK9O92CMyGCK5FZT7BLjawOLTkvOBNR+A
nzzoP8P8sdpNI/fLzg5mSXo0wkipbBrqlTtH4S5P+QKBgQDbXgUF+60c7ry5LsRJ
w3qO2B6qzhKGYer/Poer3y1Yfyt4F3rylIUMWCN0HtJ27yokxABSc0GK5pUamH3a
PjxicFYdpar4cgrSjugAHl3HCnMWEgC3HDsxuQqK6G4BjoBJcU/Oh2nYvPnrO/fP
mzn4hop8LqTc6s2Ad75jD6o0ZA==
-----END PRIVATE KEY-----";
