-- groups: by none
SELECT COUNT(*) AS "people" FROM "matched"

-- memberships: by none
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched"

-- groups: by one column
SELECT "m.level", COUNT(*) AS "people" FROM "matched" GROUP BY "m.level" ORDER BY "m.level"

-- memberships: by one column
WITH "groups" AS (SELECT "m.level", ROW_NUMBER() OVER (ORDER BY "m.level") - 1 AS "#group" FROM "matched" GROUP BY "m.level") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level"

-- groups: by many columns, names with quotes and Chinese
SELECT "m.level", "p.""城`市""", "m.count(*)", COUNT(*) AS "people" FROM "matched" GROUP BY "m.level", "p.""城`市""", "m.count(*)" ORDER BY "m.level", "p.""城`市""", "m.count(*)"

-- memberships: by many columns, names with quotes and Chinese
WITH "groups" AS (SELECT "m.level", "p.""城`市""", "m.count(*)", ROW_NUMBER() OVER (ORDER BY "m.level", "p.""城`市""", "m.count(*)") - 1 AS "#group" FROM "matched" GROUP BY "m.level", "p.""城`市""", "m.count(*)") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level" AND "matched"."p.""城`市""" IS NOT DISTINCT FROM "groups"."p.""城`市""" AND "matched"."m.count(*)" IS NOT DISTINCT FROM "groups"."m.count(*)"

-- groups: a plain sum
SELECT "m.level", COUNT(*) AS "people", COALESCE(SUM("m.spend"), 0) AS "m.spend", COUNT("m.spend") AS "m.spend#count" FROM "matched" GROUP BY "m.level" ORDER BY "m.level"

-- memberships: a plain sum
WITH "groups" AS (SELECT "m.level", ROW_NUMBER() OVER (ORDER BY "m.level") - 1 AS "#group" FROM "matched" GROUP BY "m.level") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level"

-- groups: a plain sum of all
SELECT COUNT(*) AS "people", COALESCE(SUM("m.spend"), 0) AS "m.spend", COUNT("m.spend") AS "m.spend#count" FROM "matched"

-- memberships: a plain sum of all
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched"

-- groups: several plain sums
SELECT "p.""城`市""", COUNT(*) AS "people", COALESCE(SUM("m.spend"), 0) AS "m.spend", COUNT("m.spend") AS "m.spend#count", COALESCE(SUM("p.`visits`"), 0) AS "p.`visits`", COUNT("p.`visits`") AS "p.`visits`#count" FROM "matched" GROUP BY "p.""城`市""" ORDER BY "p.""城`市"""

-- memberships: several plain sums
WITH "groups" AS (SELECT "p.""城`市""", ROW_NUMBER() OVER (ORDER BY "p.""城`市""") - 1 AS "#group" FROM "matched" GROUP BY "p.""城`市""") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."p.""城`市""" IS NOT DISTINCT FROM "groups"."p.""城`市"""

-- groups: ciphertexts
SELECT "m.level", "p.""城`市""", COUNT(*) AS "people" FROM "matched" GROUP BY "m.level", "p.""城`市""" ORDER BY "m.level", "p.""城`市"""

-- memberships: ciphertexts
WITH "groups" AS (SELECT "m.level", "p.""城`市""", ROW_NUMBER() OVER (ORDER BY "m.level", "p.""城`市""") - 1 AS "#group" FROM "matched" GROUP BY "m.level", "p.""城`市""") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level" AND "matched"."p.""城`市""" IS NOT DISTINCT FROM "groups"."p.""城`市"""

-- groups: where: one box
SELECT COUNT(*) AS "people" FROM "matched" WHERE "matched"."m.level" IN (0, 2)

-- memberships: where: one box
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE "matched"."m.level" IN (0, 2)

-- groups: where: tokens
SELECT COUNT(*) AS "people" FROM "matched" WHERE "matched"."p.""城`市""" IN (0)

-- memberships: where: tokens
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE "matched"."p.""城`市""" IN (0)

-- groups: where: several boxes
SELECT "m.level", COUNT(*) AS "people", COALESCE(SUM("m.spend"), 0) AS "m.spend", COUNT("m.spend") AS "m.spend#count" FROM "matched" WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城`市""" IN (0, 255)) OR "matched"."m.level" IN (3) GROUP BY "m.level" ORDER BY "m.level"

-- memberships: where: several boxes
WITH "groups" AS (SELECT "m.level", ROW_NUMBER() OVER (ORDER BY "m.level") - 1 AS "#group" FROM "matched" WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城`市""" IN (0, 255)) OR "matched"."m.level" IN (3) GROUP BY "m.level") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."m.level" IS NOT DISTINCT FROM "groups"."m.level" WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城`市""" IN (0, 255)) OR "matched"."m.level" IN (3)

-- groups: where: the ends of 64 bits
SELECT COUNT(*) AS "people" FROM "matched" WHERE "matched"."m.level" IN (-9223372036854775808, 9223372036854775807)

-- memberships: where: the ends of 64 bits
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE "matched"."m.level" IN (-9223372036854775808, 9223372036854775807)

-- groups: where: everybody
SELECT COUNT(*) AS "people" FROM "matched" WHERE TRUE OR "matched"."m.level" IN (0)

-- memberships: where: everybody
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE TRUE OR "matched"."m.level" IN (0)

-- groups: where: nobody
SELECT COUNT(*) AS "people" FROM "matched" WHERE FALSE

-- memberships: where: nobody
SELECT "matched"."#p" AS "position", 0 AS "#group" FROM "matched" WHERE FALSE

-- groups: where, groups and ciphertexts
SELECT "p.""城`市""", COUNT(*) AS "people" FROM "matched" WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城`市""" IN (0, 255)) OR "matched"."m.level" IN (3) GROUP BY "p.""城`市""" ORDER BY "p.""城`市"""

-- memberships: where, groups and ciphertexts
WITH "groups" AS (SELECT "p.""城`市""", ROW_NUMBER() OVER (ORDER BY "p.""城`市""") - 1 AS "#group" FROM "matched" WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城`市""" IN (0, 255)) OR "matched"."m.level" IN (3) GROUP BY "p.""城`市""") SELECT "matched"."#p" AS "position", "groups"."#group" FROM "matched" JOIN "groups" ON "matched"."p.""城`市""" IS NOT DISTINCT FROM "groups"."p.""城`市""" WHERE ("matched"."m.level" IN (1, -2) AND "matched"."p.""城`市""" IN (0, 255)) OR "matched"."m.level" IN (3)

-- the match
SELECT "left"."position" AS "left", "right"."position" AS "right" FROM "left" JOIN "right" ON "left"."high" = "right"."high" AND "left"."low" = "right"."low"

-- matched rows kept
CREATE TABLE "matched" AS SELECT * FROM "rows"

