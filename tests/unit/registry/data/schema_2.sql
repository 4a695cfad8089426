BEGIN TRANSACTION;
CREATE TABLE about (
	"key" VARCHAR NOT NULL, 
	value VARCHAR NOT NULL, 
	PRIMARY KEY ("key")
);
INSERT INTO "about" VALUES('schema','2');
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
CREATE TABLE audit (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	at VARCHAR NOT NULL, 
	actor VARCHAR NOT NULL, 
	action VARCHAR NOT NULL, 
	tenant VARCHAR, 
	adapter VARCHAR, 
	"before" TEXT, 
	"after" TEXT
);
INSERT INTO "audit" VALUES(1,'2025-03-01T09:30:01.000000+00:00','admin','tenant.created','acme',NULL,NULL,'{"class":"standard","weight":1.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}');
INSERT INTO "audit" VALUES(2,'2025-03-01T09:30:02.000000+00:00','admin','tenant.created','globex',NULL,NULL,'{"class":"standard","weight":2.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}');
INSERT INTO "audit" VALUES(3,'2025-03-01T09:30:03.000000+00:00','admin','tenant.created','gone',NULL,NULL,'{"class":"standard","weight":1.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}');
INSERT INTO "audit" VALUES(4,'2025-03-01T09:30:04.000000+00:00','admin','tenant.changed','acme',NULL,'{"class":"standard","weight":1.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}','{"class":"gold","weight":3.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}');
INSERT INTO "audit" VALUES(5,'2025-03-01T09:30:05.000000+00:00','ann','version.published','acme','routing',NULL,'{"version":1,"digest":"sha256:2790d20d41c20d247be19a3c89c3d1e2d7eede5581d50bbd5e001d323f67becd"}');
INSERT INTO "audit" VALUES(6,'2025-03-01T09:30:07.000000+00:00','ann','version.published','acme','routing',NULL,'{"version":2,"digest":"sha256:ccf350505456dcc564cd7ce6bd295e2a844fd81b4af9c8ca26660d5551c53320"}');
INSERT INTO "audit" VALUES(7,'2025-03-01T09:30:09.000000+00:00','ann','version.published','acme','routing',NULL,'{"version":3,"digest":"sha256:60375265065c166783025a7c1457e61a68de83bac43305481932500c827b5183"}');
INSERT INTO "audit" VALUES(8,'2025-03-01T09:30:11.000000+00:00','ann','version.published','acme','spam',NULL,'{"version":1,"digest":"sha256:8952c10093481cf2abb4ae22d4ac8f41774f89cc2cd99c1dc6045128e8bfc094"}');
INSERT INTO "audit" VALUES(9,'2025-03-01T09:30:13.000000+00:00','ann','version.published','globex','routing',NULL,'{"version":1,"digest":"sha256:2790d20d41c20d247be19a3c89c3d1e2d7eede5581d50bbd5e001d323f67becd"}');
INSERT INTO "audit" VALUES(10,'2025-03-01T09:30:15.000000+00:00','ann','version.published','gone','routing',NULL,'{"version":1,"digest":"sha256:005788075217a8cc7734569267ed554e2523bd7b5f3a01b1e9268bfbbf53ef5f"}');
INSERT INTO "audit" VALUES(11,'2025-03-01T09:30:17.000000+00:00','ann','rollout.set','acme','routing','{"revision":0,"live":null}','{"revision":1,"live":1}');
INSERT INTO "audit" VALUES(12,'2025-03-01T09:30:18.000000+00:00','ann','rollout.set','acme','routing','{"revision":1,"live":1}','{"revision":2,"live":2}');
INSERT INTO "audit" VALUES(13,'2025-03-01T09:30:19.000000+00:00','ann','rollout.set','acme','routing','{"revision":2,"live":2}','{"revision":3,"live":3}');
INSERT INTO "audit" VALUES(14,'2025-03-01T09:30:20.000000+00:00','bob','rollout.back','acme','routing','{"revision":3,"live":3}','{"revision":4,"live":2}');
INSERT INTO "audit" VALUES(15,'2025-03-01T09:30:21.000000+00:00','ann','rollout.set','globex','routing','{"revision":0,"live":null}','{"revision":1,"live":1}');
INSERT INTO "audit" VALUES(16,'2025-03-01T09:30:22.000000+00:00','ann','version.deleted','acme','routing','{"version":1,"digest":"sha256:2790d20d41c20d247be19a3c89c3d1e2d7eede5581d50bbd5e001d323f67becd"}',NULL);
INSERT INTO "audit" VALUES(17,'2025-03-01T09:30:24.000000+00:00','admin','version.deleted','gone','routing','{"version":1,"digest":"sha256:005788075217a8cc7734569267ed554e2523bd7b5f3a01b1e9268bfbbf53ef5f"}',NULL);
INSERT INTO "audit" VALUES(18,'2025-03-01T09:30:24.000000+00:00','admin','tenant.deleted','gone',NULL,'{"class":"standard","weight":1.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}',NULL);
INSERT INTO "audit" VALUES(19,'2025-03-01T09:30:25.000000+00:00','ann','version.refused','acme','spam',NULL,'{"problems":["r: is too large"],"count":1}');
INSERT INTO "audit" VALUES(20,'2025-03-01T09:30:26.000000+00:00','engine','version.quarantined','acme','spam',NULL,'{"version":1,"digest":"sha256:8952c10093481cf2abb4ae22d4ac8f41774f89cc2cd99c1dc6045128e8bfc094","why":"inf or NaN in an answer"}');
INSERT INTO "audit" VALUES(21,'2025-03-01T09:35:27.000000+00:00','ann','version.published','acme','spam',NULL,'{"version":2,"digest":"sha256:6bdc67bf3d50efe21e32e8e1ec1979599cfc37e7ba4f43377375c91a17d9228d"}');
INSERT INTO "audit" VALUES(22,'2025-03-01T09:40:29.000000+00:00','ann','version.deleted','acme','spam','{"version":1,"digest":"sha256:8952c10093481cf2abb4ae22d4ac8f41774f89cc2cd99c1dc6045128e8bfc094"}',NULL);
INSERT INTO "audit" VALUES(23,'2025-03-01T09:40:29.000000+00:00','ann','version.deleted','acme','spam','{"version":2,"digest":"sha256:6bdc67bf3d50efe21e32e8e1ec1979599cfc37e7ba4f43377375c91a17d9228d"}',NULL);
INSERT INTO "audit" VALUES(24,'2026-11-22T06:51:46.148294+00:00','ann','rollout.set','acme','routing','{"revision":4,"live":2}','{"revision":5,"live":2,"canary":{"version":3,"percent":5.0}}');
INSERT INTO "audit" VALUES(25,'2026-11-22T06:51:46.152221+00:00','ann','rollout.set','acme','routing','{"revision":5,"live":2,"canary":{"version":3,"percent":5.0}}','{"revision":6,"live":2,"shadow":[3]}');
INSERT INTO "audit" VALUES(26,'2026-11-22T06:51:46.153823+00:00','ann','key.created','acme',NULL,NULL,'{"id":"4ba3b54bbfca7935","scopes":["predict"]}');
CREATE TABLE keys (
	id VARCHAR NOT NULL, 
	tenant VARCHAR NOT NULL, 
	scopes TEXT NOT NULL, 
	hash VARCHAR NOT NULL, 
	actor VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "keys" VALUES('4ba3b54bbfca7935','acme','["predict"]','d6878eb6457a260a4d03a7489d9c8533e0a9576a3e62360a53f961ecc33619b2','ann','2026-11-22T06:51:46.153823+00:00');
CREATE TABLE rollouts (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tenant VARCHAR NOT NULL, 
	adapter VARCHAR NOT NULL, 
	revision INTEGER NOT NULL, 
	live INTEGER, 
	previous INTEGER, 
	actor VARCHAR NOT NULL, 
	created_at VARCHAR NOT NULL, canary INTEGER, percent FLOAT, shadows TEXT DEFAULT '[]' NOT NULL, forced TEXT, 
	UNIQUE (tenant, adapter, revision)
);
INSERT INTO "rollouts" VALUES(1,'acme','routing',1,1,NULL,'ann','2025-03-01T09:30:17.000000+00:00',NULL,NULL,'[]',NULL);
INSERT INTO "rollouts" VALUES(2,'acme','routing',2,2,1,'ann','2025-03-01T09:30:18.000000+00:00',NULL,NULL,'[]',NULL);
INSERT INTO "rollouts" VALUES(3,'acme','routing',3,3,2,'ann','2025-03-01T09:30:19.000000+00:00',NULL,NULL,'[]',NULL);
INSERT INTO "rollouts" VALUES(4,'acme','routing',4,2,1,'bob','2025-03-01T09:30:20.000000+00:00',NULL,NULL,'[]',NULL);
INSERT INTO "rollouts" VALUES(5,'globex','routing',1,1,NULL,'ann','2025-03-01T09:30:21.000000+00:00',NULL,NULL,'[]',NULL);
INSERT INTO "rollouts" VALUES(6,'acme','routing',5,2,4,'ann','2026-11-22T06:51:46.148294+00:00',3,5.0,'[]',NULL);
INSERT INTO "rollouts" VALUES(7,'acme','routing',6,2,5,'ann','2026-11-22T06:51:46.152221+00:00',NULL,NULL,'[3]',NULL);
CREATE TABLE tenants (
	name VARCHAR NOT NULL, 
	settings TEXT NOT NULL, 
	created_at VARCHAR NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "tenants" VALUES('acme','{"class":"gold","weight":3.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}','2025-03-01T09:30:01.000000+00:00');
INSERT INTO "tenants" VALUES('globex','{"class":"standard","weight":2.0,"rates":{"requests_per_s":null,"tokens_per_s":null,"concurrent_requests":null},"log":{"text":false,"embedding":true,"sample":1.0}}','2025-03-01T09:30:02.000000+00:00');
CREATE TABLE usage (
	tenant VARCHAR NOT NULL, 
	day DATE NOT NULL, 
	requests INTEGER NOT NULL, 
	texts INTEGER NOT NULL, 
	tokens INTEGER NOT NULL, 
	compute_s FLOAT NOT NULL, 
	limited INTEGER NOT NULL, 
	PRIMARY KEY (tenant, day)
);
INSERT INTO "usage" VALUES('acme','2026-11-21',1,2,30,0.5,0);
CREATE TABLE versions (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	tenant VARCHAR NOT NULL, 
	adapter VARCHAR NOT NULL, 
	number INTEGER NOT NULL, 
	digest VARCHAR NOT NULL, 
	backbone VARCHAR NOT NULL, 
	labels TEXT NOT NULL, 
	calibrated BOOLEAN NOT NULL, 
	metadata TEXT NOT NULL, 
	report TEXT NOT NULL, 
	extras TEXT NOT NULL, 
	bytes INTEGER NOT NULL, 
	created_at VARCHAR NOT NULL, 
	deleted_at VARCHAR, 
	files_gone BOOLEAN NOT NULL, verdict VARCHAR DEFAULT 'validated' NOT NULL, 
	UNIQUE (tenant, adapter, number)
);
INSERT INTO "versions" VALUES(1,'acme','routing',1,'sha256:2790d20d41c20d247be19a3c89c3d1e2d7eede5581d50bbd5e001d323f67becd','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',0,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":false,"temperature":null}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:30:05.000000+00:00','2025-03-01T09:30:22.000000+00:00',1,'validated');
INSERT INTO "versions" VALUES(2,'acme','routing',2,'sha256:ccf350505456dcc564cd7ce6bd295e2a844fd81b4af9c8ca26660d5551c53320','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',0,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":false,"temperature":null}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:30:07.000000+00:00',NULL,0,'validated');
INSERT INTO "versions" VALUES(3,'acme','routing',3,'sha256:60375265065c166783025a7c1457e61a68de83bac43305481932500c827b5183','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',1,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":true,"temperature":1.5}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:30:09.000000+00:00',NULL,0,'validated');
INSERT INTO "versions" VALUES(4,'acme','spam',1,'sha256:8952c10093481cf2abb4ae22d4ac8f41774f89cc2cd99c1dc6045128e8bfc094','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',0,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":false,"temperature":null}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:30:11.000000+00:00','2025-03-01T09:40:29.000000+00:00',0,'validated');
INSERT INTO "versions" VALUES(5,'globex','routing',1,'sha256:2790d20d41c20d247be19a3c89c3d1e2d7eede5581d50bbd5e001d323f67becd','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',0,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":false,"temperature":null}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:30:13.000000+00:00',NULL,0,'validated');
INSERT INTO "versions" VALUES(6,'gone','routing',1,'sha256:005788075217a8cc7734569267ed554e2523bd7b5f3a01b1e9268bfbbf53ef5f','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',0,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":false,"temperature":null}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:30:15.000000+00:00','2025-03-01T09:30:24.000000+00:00',1,'validated');
INSERT INTO "versions" VALUES(7,'acme','spam',2,'sha256:6bdc67bf3d50efe21e32e8e1ec1979599cfc37e7ba4f43377375c91a17d9228d','sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb','["label 0","label 1","label 2"]',0,'{"labels":["label 0","label 1","label 2"],"problem_type":"single_label","license":null,"dataset":null,"owner":null,"card":null,"backbone_digest":null,"calibrated":false,"temperature":null}','{"probe":{"passed":true}}','{"README.md":"sha256:7db092b7c2f68f372b3b21e875b3811de556a34c8c797f9682e637d5526166a8"}',1804,'2025-03-01T09:35:27.000000+00:00','2025-03-01T09:40:29.000000+00:00',0,'validated');
CREATE INDEX versions_by_digest ON versions (digest);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX keys_by_tenant ON keys (tenant);
CREATE INDEX usage_by_day ON usage (day);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('audit',26);
INSERT INTO "sqlite_sequence" VALUES('versions',7);
INSERT INTO "sqlite_sequence" VALUES('rollouts',7);
COMMIT;
