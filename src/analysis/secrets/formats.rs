//! The published formats of keys and tokens, one entry each.

use crate::model::{Confidence, Severity};

/// What a kind of secret looks like.
pub(super) struct Format {
    /// The id of its rule.
    pub(super) id: &'static str,
    /// What it is, as the message says it.
    pub(super) name: &'static str,
    /// A file without any of these words, in any case, holds none.
    pub(super) keywords: &'static [&'static str],
    /// The pattern; the group `secret`, or else all of it, is what must not be shown.
    pub(super) pattern: &'static str,
    /// How bad it is to have it in the code.
    pub(super) severity: Severity,
    /// How sure the format alone makes us.
    pub(super) confidence: Confidence,
    /// The least entropy of a real one, in bits per character.
    pub(super) entropy: f64,
    /// Where to withdraw it.
    pub(super) withdraw: &'static str,
}

const ANYTHING: Format = Format {
    id: "",
    name: "",
    keywords: &[],
    pattern: "",
    severity: Severity::Critical,
    confidence: Confidence::High,
    entropy: 3.0,
    withdraw: "",
};

/// Every format. The generic ones come last: where two match the same place, the first counts.
pub(super) static FORMATS: &[Format] = &[
    Format {
        id: "secret-aws-access-key",
        name: "An access key of AWS",
        keywords: &["akia", "asia", "abia", "acca"],
        pattern: r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b",
        withdraw: "https://console.aws.amazon.com/iam",
        ..ANYTHING
    },
    Format {
        id: "secret-github-token",
        name: "A token of GitHub",
        keywords: &["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"],
        pattern: r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{82})\b",
        withdraw: "https://github.com/settings/tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-gitlab-token",
        name: "A token of GitLab",
        keywords: &["glpat-", "gldt-", "glrt-", "glptt-"],
        pattern: r"\bgl(?:pat|dt|rt|ptt)-[A-Za-z0-9_-]{20,}",
        withdraw: "https://gitlab.com/-/user_settings/personal_access_tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-slack-token",
        name: "A token of Slack",
        keywords: &["xoxb-", "xoxa-", "xoxp-", "xoxr-", "xoxs-", "hooks.slack.com"],
        pattern: r"\bxox[baprs]-[0-9]{6,}-[0-9A-Za-z-]{10,}|hooks\.slack\.com/services/T[A-Z0-9]{6,}/B[A-Z0-9]{6,}/[A-Za-z0-9]{20,}",
        withdraw: "https://api.slack.com/apps",
        ..ANYTHING
    },
    Format {
        id: "secret-stripe-key",
        name: "A live key of Stripe",
        keywords: &["sk_live_", "rk_live_"],
        pattern: r"\b[sr]k_live_[0-9A-Za-z]{20,}",
        withdraw: "https://dashboard.stripe.com/apikeys",
        ..ANYTHING
    },
    Format {
        id: "secret-google-api-key",
        name: "An API key of Google",
        keywords: &["aiza"],
        pattern: r"\bAIza[0-9A-Za-z_-]{35}\b",
        severity: Severity::High,
        withdraw: "https://console.cloud.google.com/apis/credentials",
        ..ANYTHING
    },
    Format {
        id: "secret-openai-key",
        name: "An API key of OpenAI",
        keywords: &["t3blbkfj"],
        pattern: r"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}",
        withdraw: "https://platform.openai.com/api-keys",
        ..ANYTHING
    },
    Format {
        id: "secret-anthropic-key",
        name: "An API key of Anthropic",
        keywords: &["sk-ant-"],
        pattern: r"\bsk-ant-[a-z]+[0-9]{2}-[A-Za-z0-9_-]{80,}",
        withdraw: "https://console.anthropic.com/settings/keys",
        ..ANYTHING
    },
    Format {
        id: "secret-npm-token",
        name: "A token of npm",
        keywords: &["npm_"],
        pattern: r"\bnpm_[A-Za-z0-9]{36}\b",
        withdraw: "https://www.npmjs.com/settings/~/tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-pypi-token",
        name: "A token of PyPI",
        keywords: &["pypi-ageichlwas5vcmc"],
        pattern: r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
        withdraw: "https://pypi.org/manage/account/token/",
        ..ANYTHING
    },
    Format {
        id: "secret-sendgrid-key",
        name: "An API key of SendGrid",
        keywords: &["sg."],
        pattern: r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b",
        withdraw: "https://app.sendgrid.com/settings/api_keys",
        ..ANYTHING
    },
    Format {
        id: "secret-digitalocean-token",
        name: "A token of DigitalOcean",
        keywords: &["dop_v1_", "doo_v1_", "dor_v1_"],
        pattern: r"\bdo[por]_v1_[a-f0-9]{64}\b",
        withdraw: "https://cloud.digitalocean.com/account/api/tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-huggingface-token",
        name: "A token of Hugging Face",
        keywords: &["hf_"],
        pattern: r"\bhf_[A-Za-z]{34}\b",
        withdraw: "https://huggingface.co/settings/tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-azure-storage-key",
        name: "A storage key of Azure",
        keywords: &["accountkey="],
        pattern: r"AccountKey=(?P<secret>[A-Za-z0-9+/]{86}==)",
        withdraw: "https://portal.azure.com",
        ..ANYTHING
    },
    Format {
        id: "secret-google-oauth-secret",
        name: "A client secret of Google",
        keywords: &["gocspx-"],
        pattern: r"\bGOCSPX-[A-Za-z0-9_-]{28}",
        withdraw: "https://console.cloud.google.com/apis/credentials",
        ..ANYTHING
    },
    Format {
        id: "secret-docker-token",
        name: "A token of Docker Hub",
        keywords: &["dckr_pat_", "dckr_oat_"],
        pattern: r"\bdckr_[po]at_[A-Za-z0-9_-]{27,}",
        withdraw: "https://app.docker.com/settings/personal-access-tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-twilio-key",
        name: "An API key of Twilio",
        keywords: &["twilio"],
        pattern: r"\bSK[0-9a-f]{32}\b",
        severity: Severity::High,
        confidence: Confidence::Medium,
        withdraw: "https://console.twilio.com",
        ..ANYTHING
    },
    Format {
        id: "secret-telegram-token",
        name: "A bot's token of Telegram",
        keywords: &[":aa"],
        pattern: r"\b[0-9]{8,10}:AA[A-Za-z0-9_-]{33}\b",
        withdraw: "https://t.me/BotFather",
        ..ANYTHING
    },
    Format {
        id: "secret-discord-token",
        name: "A bot's token or webhook of Discord",
        keywords: &["discord"],
        pattern: r"\b[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,}|discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}",
        withdraw: "https://discord.com/developers/applications",
        ..ANYTHING
    },
    Format {
        id: "secret-shopify-token",
        name: "A token of Shopify",
        keywords: &["shpat_", "shpca_", "shppa_", "shpss_"],
        pattern: r"\bshp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}\b",
        withdraw: "https://admin.shopify.com",
        ..ANYTHING
    },
    Format {
        id: "secret-square-token",
        name: "A token of Square",
        keywords: &["sq0atp-", "sq0csp-"],
        pattern: r"\bsq0(?:atp|csp)-[0-9A-Za-z_-]{22,43}",
        withdraw: "https://developer.squareup.com/apps",
        ..ANYTHING
    },
    Format {
        id: "secret-mailgun-key",
        name: "An API key of Mailgun",
        keywords: &["mailgun"],
        pattern: r"\bkey-[0-9a-f]{32}\b",
        withdraw: "https://app.mailgun.com/settings/api_security",
        ..ANYTHING
    },
    Format {
        id: "secret-datadog-key",
        name: "A key of Datadog",
        keywords: &["datadog", "dd_api_key", "dd_app_key"],
        pattern: r#"(?i)\b(?:dd|datadog)[\w.-]{0,20}(?:api|app|application)_?-?key["'\]]*\s*(?::=|=>|=|:)\s*["'`]?(?P<secret>[0-9a-f]{40}|[0-9a-f]{32})\b"#,
        severity: Severity::High,
        withdraw: "https://app.datadoghq.com/organization-settings/api-keys",
        ..ANYTHING
    },
    Format {
        id: "secret-new-relic-key",
        name: "A key of New Relic",
        keywords: &["nrak-", "nraa-", "nriq-"],
        pattern: r"\bNR(?:AK|AA|IQ)-[A-Z0-9]{27,}\b",
        withdraw: "https://one.newrelic.com/api-keys",
        ..ANYTHING
    },
    Format {
        id: "secret-heroku-key",
        name: "An API key of Heroku",
        keywords: &["hrku-"],
        pattern: r"\bHRKU-[A-Za-z0-9_-]{36,}",
        withdraw: "https://dashboard.heroku.com/account",
        ..ANYTHING
    },
    Format {
        id: "secret-cloudflare-key",
        name: "An origin key of Cloudflare",
        keywords: &["v1.0-"],
        pattern: r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{146}\b",
        withdraw: "https://dash.cloudflare.com/profile/api-tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-vault-token",
        name: "A token of HashiCorp Vault",
        keywords: &["hvs.", "hvb."],
        pattern: r"\bhv[sb]\.[A-Za-z0-9_-]{24,}",
        withdraw: "your Vault server",
        ..ANYTHING
    },
    Format {
        id: "secret-terraform-token",
        name: "A token of HCP Terraform",
        keywords: &[".atlasv1."],
        pattern: r"\b[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_-]{60,}",
        withdraw: "https://app.terraform.io/app/settings/tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-grafana-token",
        name: "A service account's token of Grafana",
        keywords: &["glsa_"],
        pattern: r"\bglsa_[A-Za-z0-9]{32}_[a-f0-9]{8}\b",
        withdraw: "your Grafana server",
        ..ANYTHING
    },
    Format {
        id: "secret-databricks-token",
        name: "A token of Databricks",
        keywords: &["dapi"],
        pattern: r"\bdapi[a-f0-9]{32}\b",
        withdraw: "your Databricks workspace",
        ..ANYTHING
    },
    Format {
        id: "secret-postman-key",
        name: "An API key of Postman",
        keywords: &["pmak-"],
        pattern: r"\bPMAK-[a-f0-9]{24}-[a-f0-9]{34}\b",
        withdraw: "https://go.postman.co/settings/me/api-keys",
        ..ANYTHING
    },
    Format {
        id: "secret-linear-key",
        name: "An API key of Linear",
        keywords: &["lin_api_"],
        pattern: r"\blin_api_[A-Za-z0-9]{40}\b",
        withdraw: "https://linear.app/settings/api",
        ..ANYTHING
    },
    Format {
        id: "secret-rubygems-key",
        name: "An API key of RubyGems",
        keywords: &["rubygems_"],
        pattern: r"\brubygems_[a-f0-9]{48}\b",
        withdraw: "https://rubygems.org/profile/api_keys",
        ..ANYTHING
    },
    Format {
        id: "secret-sentry-token",
        name: "A token of Sentry",
        keywords: &["sntryu_", "sntrys_"],
        pattern: r"\bsntry(?:u_[a-f0-9]{64}\b|s_[A-Za-z0-9+/=_-]{80,})",
        withdraw: "https://sentry.io/settings/account/api/auth-tokens/",
        ..ANYTHING
    },
    Format {
        id: "secret-atlassian-token",
        name: "An API token of Atlassian",
        keywords: &["atatt3"],
        pattern: r"\bATATT3[A-Za-z0-9_=-]{180,}",
        withdraw: "https://id.atlassian.com/manage-profile/security/api-tokens",
        ..ANYTHING
    },
    Format {
        id: "secret-azure-client-secret",
        name: "A client secret of Microsoft Entra",
        keywords: &["q~"],
        pattern: r"(?P<secret>\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})(?:[^A-Za-z0-9_~.-]|$)",
        withdraw: "https://entra.microsoft.com",
        ..ANYTHING
    },
    Format {
        id: "secret-azure-shared-key",
        name: "A shared access key of Azure",
        keywords: &["sharedaccesskey="],
        pattern: r"SharedAccessKey=(?P<secret>[A-Za-z0-9+/]{43}=)",
        withdraw: "https://portal.azure.com",
        ..ANYTHING
    },
    Format {
        id: "secret-private-key",
        name: "A private key",
        keywords: &["private key"],
        pattern: concat!(
            r"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----(?P<secret>",
            // Line ends, quotes between the lines of a literal, and headers; then lines of base64.
            r"(?:\\n|\\r|[\s\x22',+]|(?:Proc-Type|DEK-Info|Version|Comment):[^\n]*)*",
            r"[A-Za-z0-9+/]{40,}(?:(?:\\n|\\r|[\s\x22',+])*[A-Za-z0-9+/]{40,})*",
            r"(?:(?:\\n|\\r|[\s\x22',+])*[A-Za-z0-9+/]{1,64}={0,2})?)",
        ),
        entropy: 3.5,
        withdraw: "the place where its public half is trusted",
        ..ANYTHING
    },
    Format {
        id: "secret-json-web-token",
        name: "A signed token (JWT)",
        keywords: &["eyj"],
        pattern: r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
        severity: Severity::Medium,
        confidence: Confidence::Medium,
        withdraw: "the service that issued it",
        ..ANYTHING
    },
    Format {
        id: "secret-in-url",
        name: "A password in an address",
        keywords: &["://"],
        pattern: r"\b(?:postgres(?:ql)?|mysql|mariadb|mongodb(?:\+srv)?|rediss?|amqps?|mssql|ftp|https?)://[A-Za-z0-9._%+-]+:(?P<secret>[^\s:@/'\x22{}$<>]{6,})@[A-Za-z0-9.-]+",
        severity: Severity::High,
        entropy: 2.0,
        confidence: Confidence::Medium,
        withdraw: "the service behind the address",
    },
    Format {
        id: "secret-in-connection-string",
        name: "A password in a connection string",
        keywords: &["password=", "pwd="],
        pattern: r#"(?i)\b(?:server|data source|host|addr(?:ess)?)\s*=[^;"'\n]{1,200};(?:[^;"'\n]{1,200};){0,12}\s*(?:password|pwd)\s*=\s*(?P<secret>[^;"'\s{}$<>%]{6,})"#,
        severity: Severity::High,
        entropy: 2.0,
        confidence: Confidence::Medium,
        withdraw: "the server that it names",
    },
    Format {
        id: "secret-in-assignment",
        name: "A secret in an assignment",
        keywords: &[
            "passw",
            "pwd",
            "secret",
            "api_key",
            "apikey",
            "api-key",
            "access_key",
            "auth_token",
            "access_token",
            "private_key",
        ],
        pattern: r#"(?i)[\w.-]*(?:password|passwd|pwd|secret(?:_?key)?|api[_-]?key|access[_-]?key|(?:auth|access)[_-]?token|private[_-]?key)["'\]]*\s*(?::=|=>|=|:)\s*["'`](?P<secret>[^"'`\s]{8,200})["'`]"#,
        severity: Severity::High,
        entropy: 3.0,
        confidence: Confidence::Medium,
        withdraw: "the service it is for",
    },
];
