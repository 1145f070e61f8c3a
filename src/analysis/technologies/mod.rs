//! What a project is made of: its languages, frameworks and tools, and the packages it depends on.

mod manifests;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::metrics::Metrics;

pub(super) use manifests::read;

/// A language, framework or tool that a project uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Technology {
    /// What sort of thing it is.
    pub kind: TechnologyKind,
    /// Its name.
    pub name: String,
    /// Its version, where a manifest or lock file says it.
    pub version: Option<String>,
    /// The file that shows it.
    pub evidence: String,
}

/// What sort of technology it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum TechnologyKind {
    /// A programming language.
    Language,
    /// A framework or large library.
    Framework,
    /// A database or its driver.
    Database,
    /// A test runner.
    Testing,
    /// A package manager, build tool, container or pipeline.
    Tool,
}

/// A package that a project depends on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Dependency {
    /// Where it comes from: `npm`, `pypi`, `cargo`, `go`, `maven`, `gem` or `composer`.
    pub ecosystem: String,
    /// Its name.
    pub name: String,
    /// The version that a lock file pins, or that the manifest names exactly.
    pub version: Option<String>,
    /// What the manifest asks for, for example `^1.2`.
    pub requirement: Option<String>,
    /// Whether a manifest names it; others come with those.
    pub direct: bool,
    /// Whether it is only needed to develop the project.
    pub development: bool,
    /// Its licence, where the file says it.
    pub licence: Option<String>,
    /// The file that names it.
    pub manifest: String,
    /// Checksums of the package, for example `sha256:…` in hexadecimal digits, where a lock file says them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hashes: Vec<String>,
}

/// What one manifest or lock file says.
#[derive(Default)]
pub(super) struct Manifest {
    pub(super) dependencies: Vec<Dependency>,
    pub(super) tool: Option<&'static str>,
    /// Why it could not be read, if it could not.
    pub(super) problem: Option<String>,
}

/// Packages that are technologies in their own right.
static KNOWN: &[(TechnologyKind, &str, &str, &[&str])] = &[
    (TechnologyKind::Framework, "React", "npm", &["react"]),
    (TechnologyKind::Framework, "Vue", "npm", &["vue"]),
    (TechnologyKind::Framework, "Angular", "npm", &["@angular/core"]),
    (TechnologyKind::Framework, "Svelte", "npm", &["svelte"]),
    (TechnologyKind::Framework, "Next.js", "npm", &["next"]),
    (TechnologyKind::Framework, "Nuxt", "npm", &["nuxt"]),
    (TechnologyKind::Framework, "Express", "npm", &["express"]),
    (TechnologyKind::Framework, "Koa", "npm", &["koa"]),
    (TechnologyKind::Framework, "Fastify", "npm", &["fastify"]),
    (TechnologyKind::Framework, "NestJS", "npm", &["@nestjs/core"]),
    (TechnologyKind::Framework, "Electron", "npm", &["electron"]),
    (TechnologyKind::Database, "PostgreSQL", "npm", &["pg", "postgres"]),
    (TechnologyKind::Database, "MongoDB", "npm", &["mongodb", "mongoose"]),
    (TechnologyKind::Database, "Redis", "npm", &["redis", "ioredis"]),
    (TechnologyKind::Database, "Prisma", "npm", &["prisma", "@prisma/client"]),
    (TechnologyKind::Testing, "Jest", "npm", &["jest"]),
    (TechnologyKind::Testing, "Vitest", "npm", &["vitest"]),
    (TechnologyKind::Testing, "Playwright", "npm", &["playwright", "@playwright/test"]),
    (TechnologyKind::Testing, "Cypress", "npm", &["cypress"]),
    (TechnologyKind::Tool, "TypeScript", "npm", &["typescript"]),
    (TechnologyKind::Tool, "Vite", "npm", &["vite"]),
    (TechnologyKind::Tool, "webpack", "npm", &["webpack"]),
    (TechnologyKind::Tool, "ESLint", "npm", &["eslint"]),
    (TechnologyKind::Framework, "Django", "pypi", &["django"]),
    (TechnologyKind::Framework, "Flask", "pypi", &["flask"]),
    (TechnologyKind::Framework, "FastAPI", "pypi", &["fastapi"]),
    (TechnologyKind::Framework, "Celery", "pypi", &["celery"]),
    (TechnologyKind::Framework, "PyTorch", "pypi", &["torch"]),
    (TechnologyKind::Framework, "TensorFlow", "pypi", &["tensorflow"]),
    (TechnologyKind::Framework, "pandas", "pypi", &["pandas"]),
    (TechnologyKind::Database, "SQLAlchemy", "pypi", &["sqlalchemy"]),
    (TechnologyKind::Database, "PostgreSQL", "pypi", &["psycopg", "psycopg2", "psycopg2-binary", "asyncpg"]),
    (TechnologyKind::Database, "Redis", "pypi", &["redis"]),
    (TechnologyKind::Testing, "pytest", "pypi", &["pytest"]),
    (TechnologyKind::Tool, "Ruff", "pypi", &["ruff"]),
    (TechnologyKind::Tool, "mypy", "pypi", &["mypy"]),
    (TechnologyKind::Framework, "axum", "cargo", &["axum"]),
    (TechnologyKind::Framework, "Actix Web", "cargo", &["actix-web"]),
    (TechnologyKind::Framework, "Rocket", "cargo", &["rocket"]),
    (TechnologyKind::Framework, "Tokio", "cargo", &["tokio"]),
    (TechnologyKind::Framework, "Tauri", "cargo", &["tauri"]),
    (TechnologyKind::Database, "SQLx", "cargo", &["sqlx"]),
    (TechnologyKind::Database, "Diesel", "cargo", &["diesel"]),
    (TechnologyKind::Framework, "Gin", "go", &["github.com/gin-gonic/gin"]),
    (TechnologyKind::Framework, "Echo", "go", &["github.com/labstack/echo/v4"]),
    (TechnologyKind::Framework, "Fiber", "go", &["github.com/gofiber/fiber/v2"]),
    (TechnologyKind::Framework, "gRPC", "go", &["google.golang.org/grpc"]),
    (TechnologyKind::Database, "GORM", "go", &["gorm.io/gorm"]),
    (TechnologyKind::Database, "PostgreSQL", "go", &["github.com/lib/pq", "github.com/jackc/pgx/v5"]),
    (TechnologyKind::Testing, "Testify", "go", &["github.com/stretchr/testify"]),
    (
        TechnologyKind::Framework,
        "Spring",
        "maven",
        &[
            "org.springframework.boot:spring-boot-starter",
            "org.springframework.boot:spring-boot-starter-web",
            "org.springframework:spring-core",
        ],
    ),
    (TechnologyKind::Framework, "Quarkus", "maven", &["io.quarkus:quarkus-core"]),
    (
        TechnologyKind::Database,
        "Hibernate",
        "maven",
        &["org.hibernate:hibernate-core", "org.hibernate.orm:hibernate-core"],
    ),
    (TechnologyKind::Testing, "JUnit", "maven", &["junit:junit", "org.junit.jupiter:junit-jupiter"]),
    (TechnologyKind::Framework, "Rails", "gem", &["rails"]),
    (TechnologyKind::Framework, "Sinatra", "gem", &["sinatra"]),
    (TechnologyKind::Database, "PostgreSQL", "gem", &["pg"]),
    (TechnologyKind::Testing, "RSpec", "gem", &["rspec", "rspec-rails"]),
    (TechnologyKind::Framework, "Laravel", "composer", &["laravel/framework"]),
    (TechnologyKind::Framework, "Symfony", "composer", &["symfony/framework-bundle", "symfony/symfony"]),
    (TechnologyKind::Testing, "PHPUnit", "composer", &["phpunit/phpunit"]),
];

/// Puts together what the manifests and lock files of a project say: one entry for each package and version.
pub(super) fn merge(all: Vec<Dependency>) -> Vec<Dependency> {
    let mut by_name = BTreeMap::<(String, String), Vec<Dependency>>::new();
    for dependency in all {
        let key = (dependency.ecosystem.clone(), dependency.name.clone());
        by_name.entry(key).or_default().push(dependency);
    }
    let mut merged = BTreeSet::new();
    for mut entries in by_name.into_values() {
        entries.sort();
        let named = entries.iter().find(|entry| entry.direct).cloned();
        let (locked, asked): (Vec<_>, Vec<_>) = entries.into_iter().partition(|entry| !entry.direct);
        // A lock file knows the version, the manifest what was asked for.
        let keep = if locked.is_empty() { asked } else { locked };
        for mut entry in keep {
            if let Some(named) = &named {
                entry.direct = true;
                entry.development = named.development;
                entry.requirement.clone_from(&named.requirement);
                entry.manifest.clone_from(&named.manifest);
            }
            merged.insert(entry);
        }
    }
    merged.into_iter().collect()
}

/// The technologies that the files, the tools' own files and the dependencies show.
pub(super) fn technologies(
    metrics: &Metrics,
    tools: Vec<(String, String)>,
    dependencies: &[Dependency],
) -> Vec<Technology> {
    let mut found = BTreeMap::<(TechnologyKind, String), Technology>::new();
    let mut add = |kind, name: &str, version: Option<String>, evidence: &str| {
        let new = Technology { kind, name: name.to_owned(), version, evidence: evidence.to_owned() };
        found.entry((kind, new.name.clone())).or_insert(new);
    };
    for file in &metrics.files {
        if super::Language::from_name(&file.language).is_some() {
            add(TechnologyKind::Language, &file.language, None, &file.path);
        }
    }
    for (tool, evidence) in tools {
        add(TechnologyKind::Tool, &tool, None, &evidence);
    }
    for (kind, name, ecosystem, packages) in KNOWN {
        let package = dependencies.iter().find(|dependency| {
            dependency.direct
                && dependency.ecosystem == *ecosystem
                && packages.contains(&dependency.name.to_ascii_lowercase().as_str())
        });
        if let Some(package) = package {
            let version = package.version.clone().or_else(|| package.requirement.clone());
            add(*kind, name, version, &package.manifest);
        }
    }
    found.into_values().collect()
}
